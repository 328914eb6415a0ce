import math

import numpy as np
import pytest

from minidiff.diffusion import GaussianMixture, HybridLoss, Schedule, VLBLoss, variational_bound
from minidiff.diffusion.denoiser import PREDICTS
from minidiff.diffusion.posterior import Posterior
from minidiff.diffusion.vlb import discretized_gaussian, normal_kl, prior_term, term

S = Schedule.linear(1000)
RNG = np.random.default_rng(0)
GREY = (RNG.integers(0, 256, (4, 3, 3, 2)) / 127.5) - 1
LN2 = math.log(2)


# ---- the posterior ---------------------------------------------------------------------------------------------------------


def test_posterior_is_bayes_rule():
    """q(x_{t-1} | x_t, x0) from the two Gaussians q(x_{t-1} | x0) and q(x_t | x_{t-1}), by completing the square."""
    p, x0, xt = Posterior(S), 0.7, -1.2
    for t in (1, 500, 999):
        before, beta = S.alpha_bar[t - 1], S.betas[t]
        precision = 1 / (1 - before) + (1 - beta) / beta
        mean = (math.sqrt(before) * x0 / (1 - before) + math.sqrt(1 - beta) * xt / beta) / precision
        assert p.mean(x0, xt, t) == pytest.approx(mean, rel=1e-10)
        assert p.variance[t] == pytest.approx(1 / precision, rel=1e-10)
        assert p.log_variance[t] == pytest.approx(-math.log(precision), abs=1e-10)
    assert p.variance[0] == 0 and p.log_variance[0] == p.log_variance[1] and p.mean(x0, xt, 0) == pytest.approx(x0)


def test_posterior_variance_against_diffusers(diffusers_numbers, outside):
    outside(Posterior(S).variance[diffusers_numbers["at"]], diffusers_numbers["posterior_variance"], atol=1e-7)  # float32


def test_model_variances_lie_between_the_bounds():
    p, x = Posterior(S), np.zeros((3, 2))
    t = np.array([1, 500, 999])
    low, high = (p.model_log_variance(t, x, v) for v in ("fixed_small", "fixed_large"))
    np.testing.assert_allclose(np.exp(high[:, 0]), S.betas[t], rtol=1e-12)
    assert (low < high).all()
    for share, expected in ((0.0, low), (1.0, high), (0.25, 0.75 * low + 0.25 * high)):
        np.testing.assert_allclose(p.model_log_variance(t, x, "learned", x + share), expected + x, rtol=1e-12)
    assert p.model_log_variance(0, x, "fixed_large") == p.log_variance[1]
    with pytest.raises(ValueError, match="did you mean fixed_small"):
        p.model_log_variance(0, x, "fixed_smal")
    with pytest.raises(ValueError, match="learned_variance=True"):
        p.model_log_variance(0, x, "learned")


# ---- the terms ---------------------------------------------------------------------------------------------------------------


def test_normal_kl_by_integration():
    m1, lv1, m2, lv2 = 0.3, -0.5, -0.2, 0.4
    x = np.linspace(-12, 12, 200_001)
    log_normal = lambda m, lv: -0.5 * ((x - m) ** 2 / np.exp(lv) + lv + math.log(2 * math.pi))  # noqa: E731
    p, q = log_normal(m1, lv1), log_normal(m2, lv2)
    kl = normal_kl(np.array([m1]), np.array([lv1]), np.array([m2]), np.array([lv2]))[0][0]
    assert kl == pytest.approx((np.exp(p) * (p - q)).sum() * (x[1] - x[0]), rel=1e-9)


def test_gradients_of_the_kl_and_of_the_bins():
    rng, h = np.random.default_rng(1), 1e-6
    a, b, mean, log_s = rng.standard_normal((4, 50))
    f = lambda m, s: normal_kl(a, 0.3 * b, m, s)[0]  # noqa: E731
    _, by_mean, by_lv = normal_kl(a, 0.3 * b, mean, log_s)
    np.testing.assert_allclose(by_mean, (f(mean + h, log_s) - f(mean - h, log_s)) / (2 * h), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(by_lv, (f(mean, log_s + h) - f(mean, log_s - h)) / (2 * h), rtol=1e-6, atol=1e-8)
    x = np.append(rng.integers(0, 256, 48) / 127.5 - 1, [-1, 1])
    mean, log_s = x + 0.1 * mean, log_s - 2
    _, by_mean, by_ls = discretized_gaussian(x, mean, log_s)
    f = lambda m, s: discretized_gaussian(x, m, s)[0]  # noqa: E731
    np.testing.assert_allclose(by_mean, (f(mean + h, log_s) - f(mean - h, log_s)) / (2 * h), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_ls, (f(mean, log_s + h) - f(mean, log_s - h)) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_the_bins_share_out_all_the_mass(levels):
    grid = np.linspace(-1, 1, levels)
    for mean, scale in ((0.1, 0.3), (-1.2, 0.05), (0.999, 0.01)):
        log_p, _, _ = discretized_gaussian(grid, np.full(levels, mean), math.log(scale), levels)
        assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-9)


def test_the_bins_against_the_exact_normal_distribution():
    cdf = lambda z: 0.5 * (1 + math.erf(z / math.sqrt(2)))  # noqa: E731
    for x, mean, scale in ((0.2, 0.15, 0.2), (-1.0, -0.9, 0.3), (1.0, 0.8, 0.1), (51 / 127.5 - 1, -0.6, 0.02)):
        high = 1 if x == 1 else cdf((x + 1 / 255 - mean) / scale)
        low = 0 if x == -1 else cdf((x - 1 / 255 - mean) / scale)
        log_p = discretized_gaussian(np.array([x]), np.array([mean]), math.log(scale))[0][0]
        assert math.exp(log_p) == pytest.approx(high - low, abs=4e-4)


def test_the_bins_against_the_authors_code(outside):
    """openai/improved-diffusion (MIT), losses.discretized_gaussian_log_likelihood, run in float64."""
    x = np.array([-1.0, -1.0, 1.0, 1.0, 0.0039215686, 0.0039215686, -0.5, 0.25])
    mean = np.array([-0.9, 0.5, 0.7, 1.1, 0.0, 0.3, -0.45, -0.9])
    log_scale = np.array([-1.0, -2.0, -3.0, -1.5, -4.0, -2.5, -6.0, -5.0])
    outside(
        discretized_gaussian(x, mean, log_scale)[0],
        [-0.92385182, -27.63102112, -24.49687254, -0.38673340, -1.79738263, -9.96995794, -27.63102112, -27.63102112],
        atol=1e-5,
    )  # theirs cancels in the upper tail


def test_the_prior_s_term_by_its_formula():
    mean2, var = S.alpha_bar[-1] * GREY**2, 1 - S.alpha_bar[-1]
    kl = 0.5 * (mean2 + var - 1 - math.log(var))
    np.testing.assert_allclose(prior_term(S, GREY), kl.mean(axis=(1, 2, 3)) / LN2, rtol=1e-9)


def test_the_term_of_the_right_mean_and_variance_is_nothing():
    p, t = Posterior(S), np.array([1, 300, 700, 999])
    xt = S.add_noise(GREY, RNG.standard_normal(GREY.shape), t)
    bits, by_mean, by_lv = term(p, GREY, xt, t, p.mean(GREY, xt, t), p.model_log_variance(t, xt, "fixed_small"))
    np.testing.assert_allclose(bits, 0, atol=1e-12)
    np.testing.assert_allclose(by_mean, 0, atol=1e-12)
    np.testing.assert_allclose(by_lv, 0, atol=1e-12)


def test_the_term_is_the_weighted_error_of_eps():
    """Ho et al. 2020, equation 12: beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) |eps - eps_hat|^2 at equal variances."""
    p, t = Posterior(S), 400
    eps, wrong = RNG.standard_normal((2, *GREY.shape))
    xt = S.add_noise(GREY, eps, t)
    x0_hat = (xt - S.sigma(t) * wrong) / S.alpha(t)
    bits, _, _ = term(p, GREY, xt, t, p.mean(x0_hat, xt, t), p.model_log_variance(t, xt, "fixed_small"))
    factor = S.betas[t] ** 2 / (2 * p.variance[t] * S.alphas[t] * (1 - S.alpha_bar[t]))
    np.testing.assert_allclose(bits, factor * ((eps - wrong) ** 2).mean(axis=(1, 2, 3)) / LN2, rtol=1e-9)


# ---- the whole bound ---------------------------------------------------------------------------------------------------------


class Knows:
    """The perfect denoiser of N(0, s^2), which also knows the variance of each of its steps back."""

    learned_variance = True

    def __init__(self, s, schedule):
        self.schedule, self.inner = schedule, GaussianMixture([[0.0]], stds=s).denoiser(schedule)
        p = Posterior(schedule)
        of_x0 = s * s * (1 - schedule.alpha_bar) / (schedule.alpha_bar * s * s + 1 - schedule.alpha_bar)  # Var(x0 | x_t)
        self.share = (np.log(p.variance + p.c_x0**2 * of_x0) - p.log_variance) / (p.log_beta - p.log_variance + 1e-300)

    def predict(self, x, t, cond=None):
        return *self.inner(x, t), self.share[t] + 0 * x


def test_the_bound_is_tight_where_the_model_is_perfect():
    """Grey levels of a discretized N(0, 0.3^2): the best code has their entropy. The best steps come within 0.04 bits of
    it, never below; fixed_large costs 0.1 bits more and fixed_small 2.5."""
    levels, s, n = 64, 0.3, 20_000
    grid = np.linspace(-1, 1, levels)
    p = np.exp(discretized_gaussian(grid, 0 * grid, math.log(s), levels)[0])
    index = np.searchsorted(np.cumsum(p), np.random.default_rng(0).random((n, 1)))
    schedule = Schedule.linear(50, scale_to_T=True)
    best, large, small = (
        variational_bound(Knows(s, schedule), grid[index], 1, v, levels=levels) for v in (None, "fixed_large", "fixed_small")
    )
    assert best.terms.shape == (n, 50) and best.total.shape == (n,)
    np.testing.assert_allclose(best.total, best.prior + best.terms.sum(axis=1))
    own = -np.log2(p[index[:, 0]])  # what each sample costs with the best code
    excess = best.total - own
    assert -4 * excess.std() / n**0.5 < excess.mean() < 0.04
    assert 0.05 < (large.total - best.total).mean() < 0.2 and 2 < (small.total - best.total).mean() < 3


def test_each_column_is_its_own_term(tiny_net):
    """The table's row t is `term` at t with the noise of that t, drawn from T - 1 downwards."""
    schedule = Schedule.linear(20)
    objective = VLBLoss(schedule)
    denoiser = objective.denoiser(tiny_net(2, 4))
    bound = variational_bound(denoiser, GREY, np.random.default_rng(3))
    rng, p = np.random.default_rng(3), Posterior(schedule)
    noise = [rng.standard_normal(GREY.shape) for _ in range(20)][::-1]
    for t in (0, 1, 7, 19):
        xt = schedule.add_noise(GREY, noise[t], t)
        x0_hat, eps_hat, share = denoiser.predict(xt, t)
        lv = share * math.log(schedule.betas[t]) + (1 - share) * p.log_variance[t]
        np.testing.assert_allclose(bound.terms[:, t], term(p, GREY, xt, t, p.mean(x0_hat, xt, t), lv)[0], rtol=1e-12)
        np.testing.assert_allclose(bound.eps_mse[:, t], ((eps_hat - noise[t]) ** 2).mean(axis=(1, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(bound.x0_mse[:, t], ((x0_hat - GREY) ** 2).mean(axis=(1, 2, 3)), rtol=1e-12)


# ---- training on it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large", "learned"])
def test_gradient_of_the_bound(check_objective, tiny_net, predicts, variance):
    schedule = Schedule.linear(3, 0.1, 0.5)  # with T = 3 a batch of four meets t = 0 too
    net = tiny_net(2, 4 if variance == "learned" else 2)
    check_objective(VLBLoss(schedule, predicts, variance), net, GREY, np.array([0, 1, 2, 0]), tolerance=1e-6)
    assert 0 in net.seen[0][1]


@pytest.mark.parametrize("t_sampler", ["uniform", "stratified", "loss"])
def test_gradient_of_the_bound_with_every_t_sampler(check_objective, tiny_net, t_sampler):
    check_objective(VLBLoss(Schedule.linear(50), t_sampler=t_sampler), tiny_net(2, 4), GREY, tolerance=1e-6)


def test_the_loss_is_an_unbiased_estimate_of_the_bound(tiny_net):
    schedule, net = Schedule.linear(10, 0.05, 0.3), tiny_net(2, 4)
    objective, x0 = VLBLoss(schedule, t_sampler="stratified"), np.repeat(GREY, 1500, axis=0)
    loss = float(objective(net, np.random.default_rng(0).permutation(x0), np.random.default_rng(0))[0])
    bound = variational_bound(objective.denoiser(net), x0, 1)
    spread = bound.terms.std(axis=0).mean() * 10 / len(x0) ** 0.5
    assert loss == pytest.approx(bound.terms.sum(axis=1).mean(), abs=5 * spread)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_hybrid_loss_is_simple_plus_bound(tiny_net, predicts):
    schedule, net = Schedule.linear(100), tiny_net(2, 4)
    hybrid, _ = HybridLoss(schedule, predicts, vlb_weight=0.01)(net, GREY, np.random.default_rng(0))
    vlb, _ = VLBLoss(schedule, predicts)(net, GREY, np.random.default_rng(0))
    none, _ = HybridLoss(schedule, predicts, vlb_weight=0.0)(net, GREY, np.random.default_rng(0))
    assert hybrid == pytest.approx(none + 0.01 * vlb, rel=1e-12)


def test_hybrid_gradient_stops_at_the_mean(tiny_net):
    """The prediction's channels get L_simple's gradient alone, the variance's channels the bound's alone."""
    schedule = Schedule.linear(4, 0.1, 0.4)
    received = []

    class Net(tiny_net):
        def forward(self, x, t, cond=None):
            out, back = super().forward(x, t, cond)
            return out, lambda d: (received.append(d), back(d))[1]

    net = Net(2, 4)
    for objective in (HybridLoss(schedule, vlb_weight=0.5), HybridLoss(schedule, vlb_weight=0.0), VLBLoss(schedule)):
        objective(net, GREY, np.random.default_rng(0))[1]()
    hybrid, simple, vlb = received
    np.testing.assert_allclose(hybrid[..., :2], simple[..., :2], rtol=1e-13)
    np.testing.assert_allclose(hybrid[..., 2:], 0.5 * vlb[..., 2:], rtol=1e-12)
    assert abs(simple[..., 2:]).max() == 0 and abs(hybrid[..., 2:]).min() > 0


def test_hybrid_default_weight_is_the_paper_s():
    assert HybridLoss(S).vlb_weight == 0.001 and HybridLoss(S).denoiser(None).learned_variance


def test_float32_stays_float32():
    seen = []

    class Model:
        def __call__(self, xt, t, cond):
            out = np.concatenate([xt, 0 * xt], axis=-1)
            return out, lambda d: seen.append(d.dtype)

    for objective in (VLBLoss(S), HybridLoss(S)):
        loss, back = objective(Model(), GREY.astype(np.float32), np.random.default_rng(0))
        back()
        assert loss.dtype == np.float32
    assert seen == [np.float32, np.float32]


def test_bad_input():
    with pytest.raises(ValueError, match="variance: got 'small'"):
        VLBLoss(S, variance="small")
    from minidiff.diffusion import VP

    with pytest.raises(TypeError, match="needs a Schedule of whole steps"):
        VLBLoss(VP())


@pytest.mark.parametrize("weight, T", ((0.001, 20), (0.3, 20), (0.1, 25)))
def test_the_variance_learns_from_the_weighted_bound(tiny_net, weight, T):
    """Equation 16: the gradient by the variance is weight times that of the bound, for weights that are no whole numbers."""
    schedule, net, received = Schedule.linear(T, 0.05, 0.3), tiny_net(2, 4), []

    def spy(x, t, cond=None):
        y, back = net(x, t, cond)
        return y, lambda dy: received.append(dy) or back(dy)

    for objective in (HybridLoss(schedule, vlb_weight=weight), VLBLoss(schedule)):
        objective(spy, GREY, np.random.default_rng(0))[1]()
    hybrid, vlb = received
    np.testing.assert_allclose(hybrid[..., 2:], weight * vlb[..., 2:], rtol=1e-12)
    assert abs(hybrid[..., 2:]).max() > 0

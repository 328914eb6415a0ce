import math

import numpy as np
import pytest

from minidiff.diffusion import (
    EDM,
    VE,
    VP,
    Denoiser,
    EDMDenoiser,
    GaussianMixture,
    Schedule,
    SubVP,
    bits_per_dim,
    cfg,
    clip_x0,
    dequantize,
    dynamic_threshold,
    ode_log_likelihood,
)
from minidiff.diffusion.likelihood import unit_vectors, with_jacobian
from minidiff.models import MLP, UNet
from minidiff.rng import Rng

A = np.array([[[0.5, 0.1], [0.0, 0.3]], [[0.3, -0.2], [0.1, 0.4]], [[0.6, 0.0], [0.3, 0.2]]])
MIXTURE = GaussianMixture([[-1.0, 0.4], [0.8, 0.9], [0.3, -1.1]], covs=A @ A.transpose(0, 2, 1), weights=[0.2, 0.5, 0.3])
X = MIXTURE.sample(1, 8)


def prior_of(mixture, process, t):
    return lambda x: mixture.log_prob(x, process.alpha(t), process.sigma(t))


@pytest.mark.parametrize("process", [VP(), SubVP(), VE(0.002, 50), EDM(), Schedule.cosine(1000)], ids=repr)
def test_log_likelihood_of_a_mixture_is_its_known_density(process):
    first, last = (0, 999) if isinstance(process, Schedule) else (process.t_min, process.t_max)
    found = ode_log_likelihood(MIXTURE.denoiser(process), X, log_prior=prior_of(MIXTURE, process, last))
    np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(X, process.alpha(first), process.sigma(first)), atol=5e-4)
    if not isinstance(process, Schedule):  # whose first step has noise enough to matter
        np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(X), atol=1e-3)
    assert found.latent.shape == X.shape and found.calls > 50


@pytest.mark.parametrize("process, t", [(VP(), 0.4), (Schedule.linear(1000), 300)], ids=repr)
def test_density_of_noisy_pictures(process, t):
    """From the middle: the density of x_t itself, where alpha is well below 1."""
    x = process.add_noise(X, np.random.default_rng(3).standard_normal(X.shape), t)
    last = getattr(process, "t_max", 999)
    found = ode_log_likelihood(MIXTURE.denoiser(process), x, t_min=t, log_prior=prior_of(MIXTURE, process, last))
    np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(x, process.alpha(t), process.sigma(t)), atol=2e-4)


def test_with_the_standard_prior_where_nothing_is_left_of_the_data():
    """At beta_max = 40, alpha(1) = 4e-5: the prior N(0, I) is then right to 1e-3 nats."""
    found = ode_log_likelihood(MIXTURE.denoiser(VP(beta_max=40.0)), X)
    np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(X), atol=1e-3)


def test_the_usual_processes_are_off_by_what_is_left_at_t_max():
    """The density the flow makes of N(0, I) is the mixture's up to alpha(1) mean . latent: 0.01 nats, and known."""
    process = VP()
    found = ode_log_likelihood(MIXTURE.denoiser(process), X, rtol=1e-6, atol=1e-6)
    gap = found.log_p - MIXTURE.log_prob(X)
    level = process.alpha(1.0), process.sigma(1.0)
    standard = -0.5 * (found.latent**2).sum(axis=1) / level[1] ** 2 - math.log(2 * math.pi * level[1] ** 2)
    np.testing.assert_allclose(gap, standard - MIXTURE.log_prob(found.latent, *level), atol=1e-4)
    assert 1e-3 < abs(gap).max() < 0.03


def test_on_a_gaussian_flow_density_and_latent_are_exact():
    """N(m, s^2): the flow multiplies x - alpha m by the ratio of standard deviations."""
    m, s, p = np.array([[0.7, -0.3]]), 0.5, VP()
    x = m + s * np.array([[0.3, -1.2], [2.0, 0.1]])
    found = ode_log_likelihood(GaussianMixture(m, stds=s).denoiser(p), x, rtol=1e-8, atol=1e-8)
    std = lambda t: math.sqrt(p.alpha(t) ** 2 * s**2 + p.sigma(t) ** 2)  # noqa: E731
    latent = p.alpha(1.0) * m + (x - p.alpha(p.t_min) * m) * std(1.0) / std(p.t_min)
    np.testing.assert_allclose(found.latent, latent, atol=1e-6)
    log_p = -0.5 * (latent**2).sum(axis=1) / p.sigma(1.0) ** 2 - 2 * math.log(p.sigma(1.0) * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found.log_p, log_p + 2 * math.log(std(1.0) / std(p.t_min)), atol=1e-6)


@pytest.mark.parametrize("predicts", ["x0", "v", "score"])
def test_through_every_kind_of_prediction(tiny_net, predicts):
    """A net of another kind that says the same thing: built from the mixture by the conversion, backward pass included."""
    process = VP()
    inner = MIXTURE.model(process)

    class Same:
        def __call__(self, x, t, cond=None):
            a, s = process.alpha(t), process.sigma(t)
            by_eps, by_x = {"x0": (-s / a, 1 / a), "v": (1 / a, -s / a), "score": (-1 / s, 0.0)}[predicts]
            eps, back = inner(x, t, cond)
            return by_eps * eps + by_x * x, lambda d: back(by_eps * d) + by_x * d

        def predict(self, x, t, cond=None):
            return self(x, t, cond)[0]

    found = ode_log_likelihood(Denoiser(Same(), process, predicts), X, log_prior=prior_of(MIXTURE, process, 1.0))
    np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(X), atol=1e-3)


def test_edm_preconditioned():
    """F = 0 is the perfect denoiser of N(0, 1/4)."""

    class Silent:
        def predict(self, x, t, cond=None):
            return 0 * x

        def __call__(self, x, t, cond=None):
            return 0 * x, lambda d: 0 * d

    truth = GaussianMixture([[0.0, 0.0]], stds=0.5)
    found = ode_log_likelihood(EDMDenoiser(Silent()), X, log_prior=prior_of(truth, EDM(), 80.0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.log_p, truth.log_prob(X, 1.0, 0.002), atol=1e-4)


def test_fixed_steps_agree_and_converge():
    process, errors = VP(), []
    truth = MIXTURE.log_prob(X, process.alpha(process.t_min), process.sigma(process.t_min))
    for steps in (25, 50):
        found = ode_log_likelihood(MIXTURE.denoiser(process), X, steps=steps, log_prior=prior_of(MIXTURE, process, 1.0))
        assert found.calls == 4 * steps
        errors.append(abs(found.log_p - truth).max())
    assert errors[1] < 1e-3 and errors[0] / errors[1] > 8


def test_hutchinson_is_unbiased_and_noisier_with_one_probe():
    process = VP()
    run = lambda **kw: ode_log_likelihood(MIXTURE.denoiser(process), X, steps=40, **kw)  # noqa: E731
    exact = run().log_p
    same = [run(divergence="hutchinson", rng=7).log_p for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert abs(same[0] - exact).max() > 0.01
    # in two dimensions the four pairs of signs are all there are, so their mean is exact
    pairs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])

    class AllSigns:
        def integers(self, low, high, size):
            return np.broadcast_to(((pairs + 1) // 2)[:, None], size)

    np.testing.assert_allclose(run(divergence="hutchinson", probes=4, rng=AllSigns()).log_p, exact, atol=1e-9)


def test_more_probes_less_noise():
    process = VP()
    noise = []
    for probes in (1, 16):
        runs = [
            ode_log_likelihood(MIXTURE.denoiser(process), X, steps=10, divergence="hutchinson", probes=probes, rng=s).log_p
            for s in range(8)
        ]
        noise.append(np.std(runs, axis=0).mean())
    assert 2.5 < noise[0] / noise[1] < 6.5  # 4, give or take


def test_of_a_condition_and_of_a_guided_denoiser():
    process = VP()
    prior = prior_of(MIXTURE.given(1), process, 1.0)
    found = ode_log_likelihood(MIXTURE.denoiser(process), X, cond=1, log_prior=prior)
    np.testing.assert_allclose(found.log_p, MIXTURE.log_prob(X, cond=1), atol=1e-3)
    guided = ode_log_likelihood(cfg(MIXTURE.denoiser(process), 1, 0.0), X, log_prior=prior)
    np.testing.assert_allclose(guided.log_p, found.log_p, atol=1e-9)


def _agree(denoiser, x, **options):
    """log p by the two products, which agree to rounding.   ->   log p"""
    by_back, by_step = (ode_log_likelihood(denoiser, x, steps=6, jacobian=way, **options) for way in ("vjp", "jvp"))
    np.testing.assert_allclose(by_step.log_p, by_back.log_p, rtol=1e-12)
    np.testing.assert_allclose(by_step.latent, by_back.latent, rtol=1e-12, atol=1e-13)
    assert by_step.calls == by_back.calls
    return by_step.log_p


@pytest.mark.parametrize("process", [VP(), SubVP(), VE(0.002, 50), EDM(), Schedule.cosine(1000)], ids=repr)
def test_jacobian_vector_products_agree_with_backward_passes(process):
    _agree(MIXTURE.denoiser(process), X)
    _agree(cfg(MIXTURE.denoiser(process), 1, 0.5), X)
    _agree(MIXTURE.denoiser(process), X, divergence="hutchinson", probes=2, rng=3)


@pytest.mark.parametrize("predicts", ["eps", "x0", "v", "score"])
def test_jacobian_vector_products_through_a_network(predicts):
    net = UNet(in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
               attention_head_dim=4, num_class_embeds=3, rng=0).astype(np.float64)  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, 4, 4, 1))
    denoiser = Denoiser(net, Schedule.linear(50), predicts)
    assert np.isfinite(_agree(denoiser, x, cond=np.array([0, 2]), divergence="hutchinson", rng=0)).all()


def test_jacobian_vector_products_with_edm_preconditioning():
    net = MLP(2, width=8, depth=1, rng=0).astype(np.float64)
    _agree(EDMDenoiser(net, sigma_data=1.0), X)


def test_the_two_products_are_transposes_of_each_other():
    """<u, J v> = <J^T u, v> for any u and v, not only for the u = v of a trace."""
    denoiser = MIXTURE.denoiser(VP())
    u, v = np.random.default_rng(0).standard_normal((2, *X.shape))
    (eps, times), (also, transposed) = (with_jacobian(denoiser, X, 0.3, jacobian=way) for way in ("jvp", "vjp"))
    assert np.array_equal(eps, also)
    assert (u * times(v)).sum() == pytest.approx((transposed(u) * v).sum(), rel=1e-13)


def test_jacobian_vector_products_need_no_backward_pass():
    """A plain function has none, and neither has a clipped, thresholded or rescaled denoiser."""
    process = VP()
    truth = ode_log_likelihood(MIXTURE.denoiser(process), X, steps=6).log_p
    wide = lambda d: clip_x0(d, 50.0, rederive=True)  # noqa: E731  (which changes nothing here)
    for denoiser in (Denoiser(MIXTURE.model(process).predict, process), wide(MIXTURE.denoiser(process))):
        with pytest.raises(TypeError, match="backward pass"):
            ode_log_likelihood(denoiser, X, steps=6)
        np.testing.assert_allclose(ode_log_likelihood(denoiser, X, steps=6, jacobian="jvp").log_p, truth, rtol=1e-12)
    held = [
        dynamic_threshold(MIXTURE.denoiser(process), 0.6, rederive=True),
        cfg(MIXTURE.denoiser(process), 1, 1.0, rescale=0.7),
    ]
    for denoiser in held:
        _, times = with_jacobian(denoiser, X, 0.3, jacobian="jvp")
        for v in unit_vectors(X):
            up, down = (denoiser(X + h * v, 0.3)[1] for h in (1e-6, -1e-6))
            np.testing.assert_allclose(times(v), (up - down) / 2e-6, rtol=1e-6, atol=1e-8)


def test_jacobian_vector_products_in_float32():
    x = X.astype(np.float32)
    found = ode_log_likelihood(MIXTURE.denoiser(VP()), x, steps=6, jacobian="jvp").log_p
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ode_log_likelihood(MIXTURE.denoiser(VP()), X, steps=6).log_p, rtol=1e-4)


def test_a_net_s_parameter_gradients_are_left_at_zero(tiny_net):
    net = tiny_net(2, 2)
    found = ode_log_likelihood(Denoiser(net, Schedule.linear(50)), X, steps=5)
    assert np.isfinite(found.log_p).all()
    assert all((p.grad == 0).all() for p in net.parameters().values())


def test_images_keep_their_shape(tiny_net):
    x = np.random.default_rng(0).standard_normal((2, 3, 3, 1))
    exact = ode_log_likelihood(Denoiser(tiny_net(1, 1), Schedule.linear(50)), x, steps=5)
    assert exact.log_p.shape == (2,) and exact.latent.shape == x.shape
    flat = GaussianMixture(np.zeros((1, 3, 3, 1)), stds=1.0)
    found = ode_log_likelihood(flat.denoiser(VP()), x)
    np.testing.assert_allclose(found.log_p, flat.log_prob(x), atol=1e-3)


def test_bits_per_dim_of_a_uniform_byte_is_eight():
    """Uniform on [-1, 1)^D has density 2^-D; with 256 levels that is 8 bits a dimension, with 17 log2(17)."""
    assert bits_per_dim(-5 * math.log(2), 5) == pytest.approx(8)
    assert bits_per_dim(np.full(3, -5 * math.log(2)), 5, 17) == pytest.approx([math.log2(17)] * 3)


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dequantize_stays_in_its_bin_and_fills_it(levels):
    grid = np.linspace(-1, 1, levels)
    x = np.repeat(grid, 2000).reshape(-1, 1)
    y = dequantize(x, Rng(0), levels)
    assert y.min() >= -1 and y.max() < 1
    inside = (y + 1) / 2 * levels - np.round((x + 1) / 2 * (levels - 1))
    assert inside.min() >= -1e-9 and inside.max() <= 1 + 1e-9
    assert inside.mean() == pytest.approx(0.5, abs=4 * 0.29 / x.size**0.5) and inside.std() == pytest.approx(12**-0.5, rel=0.02)
    assert dequantize(x.astype(np.float32), 0, levels).dtype == np.float32


def test_bits_per_dim_of_dequantized_data_bounds_the_entropy():
    """A mixture made of two grey levels: the density of dequantized data is a box in each bin, and the code one bit."""
    x = dequantize(np.where(np.random.default_rng(0).random((5000, 1)) < 0.5, -1.0, 1.0), 0, levels=2)
    assert x.min() < -0.99 and x.max() > 0.99
    log_p = np.full(5000, -math.log(2.0))
    assert bits_per_dim(log_p, 1, levels=2).mean() == pytest.approx(1)


def test_bad_input():
    denoiser = MIXTURE.denoiser(VP())
    for options, match in (
        (dict(divergence="exakt"), "divergence: got 'exakt'"),
        (dict(jacobian="jpv"), "jacobian: got 'jpv', expected 'vjp' or 'jvp'"),
        (dict(probes=0), "probes, steps: got 0, None"),
        (dict(steps=0), "probes, steps: got 1, 0"),
    ):
        with pytest.raises(ValueError, match=match):
            ode_log_likelihood(denoiser, X, **options)
    with pytest.raises(TypeError, match="a Layer, and not a plain function"):
        ode_log_likelihood(Denoiser(lambda x, t, c: x, VP()), X)
    with pytest.raises(TypeError, match="Clipped has no backward pass"):
        ode_log_likelihood(clip_x0(denoiser), X)

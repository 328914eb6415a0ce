from typing import NamedTuple

import numpy as np
import pytest

from minidiff.diffusion import VE, VP, GaussianMixture, Schedule, ScoreMatching, SimpleLoss
from minidiff.diffusion.denoiser import PREDICTS, from_x0_eps
from minidiff.diffusion.losses import Objective, drop_conditions
from minidiff.diffusion.weighting import WEIGHTINGS, weight
from minidiff.rng import Rng

S = Schedule.linear(1000)
X0 = np.random.default_rng(0).standard_normal((6, 3, 3, 2))
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_gradient_of_every_target_and_weighting(check_objective, tiny_net, predicts, weighting):
    check_objective(SimpleLoss(S, predicts, weighting), tiny_net(2, 2), X0)


@pytest.mark.parametrize(
    "options",
    [
        dict(real_t=True),
        dict(t_sampler="stratified"),
        dict(t_sampler="stratified", real_t=True),
        dict(t_sampler="loss"),
        dict(weighting="p2", gamma=0.5, k=2.0),
        dict(weighting="min_snr", gamma=3.0, predicts="v"),
        dict(cond_dropout=0.5),
        dict(real_t=True, time_scale=0.01),
    ],
)
def test_gradient_of_every_option(check_objective, tiny_net, options):
    check_objective(SimpleLoss(S, **options), tiny_net(2, 2), X0, LABELS)


@pytest.mark.parametrize("process", [VP(), VE()])
def test_gradient_in_continuous_time(check_objective, tiny_net, process):
    check_objective(SimpleLoss(process, "x0", "snr"), tiny_net(2, 2), X0)


def test_the_loss_by_hand(tiny_net):
    """The draws in their order: t, then the noise; then everything from the formulas."""
    net, rng = tiny_net(2, 2), np.random.default_rng(3)
    loss, _ = SimpleLoss(S)(net, X0, np.random.default_rng(3))
    t, eps = rng.integers(0, 1000, size=6), rng.standard_normal(X0.shape)
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))[t].reshape(6, 1, 1, 1)
    xt = np.sqrt(alpha_bar) * X0 + np.sqrt(1 - alpha_bar) * eps
    seen_x, seen_t, _ = net.seen[0]
    np.testing.assert_array_equal(seen_t, t)
    np.testing.assert_allclose(seen_x, xt, rtol=1e-12)
    assert loss == pytest.approx(((net.predict(xt, t) - eps) ** 2).mean(), rel=1e-13)


@pytest.mark.parametrize("predicts", PREDICTS)
def test_a_perfect_model_has_no_loss_and_a_zero_model_the_mean_square_of_the_target(tiny_net, predicts):
    class Model:
        def __init__(self, gain):
            self.gain = gain

        def __call__(self, xt, t, cond):
            a, s = (c(t).reshape(-1, 1, 1, 1) for c in (S.alpha, S.sigma))
            return self.gain * from_x0_eps(X0, (xt - a * X0) / s, a, s, predicts), lambda dy: dy

    losses = [SimpleLoss(S, predicts, "snr")(Model(gain), X0, np.random.default_rng(0))[0] for gain in (1.0, 0.0)]
    assert losses[0] == pytest.approx(0, abs=1e-18)
    rng = np.random.default_rng(0)
    t, eps = rng.integers(0, 1000, size=6), rng.standard_normal(X0.shape)
    a, s = (c(t).reshape(-1, 1, 1, 1) for c in (S.alpha, S.sigma))
    w = weight(S, t, predicts, "snr")
    w = 1 if w is None else w.reshape(-1, 1, 1, 1)
    assert losses[1] == pytest.approx((w * from_x0_eps(X0, eps, a, s, predicts) ** 2).mean(), rel=1e-9)


def test_best_loss_on_gaussian_data_is_the_known_one():
    """Data N(0, s^2): the least eps error at t is alpha^2 s^2 / (alpha^2 s^2 + sigma^2), reached by the true denoiser."""
    s, n = 0.5, 400_000
    x0 = s * np.random.default_rng(1).standard_normal((n, 1))
    model = GaussianMixture([[0.0]], stds=s).model(S)
    loss, _ = SimpleLoss(S)(model, x0, np.random.default_rng(2))
    a2, s2 = S.alpha_bar, 1 - S.alpha_bar
    best = (a2 * s * s / (a2 * s * s + s2)).mean()
    assert loss == pytest.approx(best, abs=4 * 0.35 / n**0.5)  # the standard deviation of one sample's loss is 0.35


def test_loss_and_gradient_do_not_change_what_they_read(tiny_net):
    net, x0 = tiny_net(2, 2), X0.copy()
    x0.setflags(write=False)
    _loss, back = SimpleLoss(S)(net, x0, np.random.default_rng(0), LABELS)
    back()
    once = {n: p.grad.copy() for n, p in net.parameters().items()}
    back()  # asked twice it adds twice
    for n, p in net.parameters().items():
        np.testing.assert_allclose(p.grad, 2 * once[n], rtol=1e-13)


def test_float32_stays_float32():
    seen = []

    class Model:
        def __call__(self, xt, t, cond):
            def back(dy):
                seen.append(dy.dtype)

            seen.append(xt.dtype)
            return xt, back

    for options in (dict(), dict(weighting="min_snr"), dict(real_t=True, predicts="v"), dict(t_sampler="loss")):
        loss, back = SimpleLoss(S, **options)(Model(), X0.astype(np.float32), Rng(0))
        back()
        assert loss.dtype == np.float32
    assert set(seen) == {np.dtype(np.float32)}


def test_noise_depends_on_seed_and_step_alone(tiny_net):
    def run(seed, step):
        net = tiny_net(2, 2)
        SimpleLoss(S)(net, X0, Rng(seed, step=step), LABELS)
        return net.seen[0]

    for a, b in zip(run(1, 7), run(1, 7), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(run(1, 7)[0], run(1, 8)[0]) and not np.array_equal(run(1, 7)[0], run(2, 7)[0])


def test_conditions_do_not_change_the_noise(tiny_net):
    """A labelled and an unlabelled run of one seed see the same noise: the conditions are drawn last."""
    nets = [tiny_net(2, 2) for _ in range(2)]
    SimpleLoss(S)(nets[0], X0, np.random.default_rng(0))
    SimpleLoss(S)(nets[1], X0, np.random.default_rng(0), LABELS)
    np.testing.assert_array_equal(nets[0].seen[0][0], nets[1].seen[0][0])


def test_conditions_are_dropped_at_the_rate_and_one_by_one(tiny_net):
    n, net = 20_000, tiny_net(2, 2)
    x0, labels = np.zeros((n, 1, 1, 2)), np.arange(n) % 3
    SimpleLoss(S, cond_dropout=0.2)(net, x0, np.random.default_rng(0), labels)
    dropped = net.seen[0][2] == 3
    assert dropped.mean() == pytest.approx(0.2, abs=4 * (0.16 / n) ** 0.5)
    np.testing.assert_array_equal(net.seen[0][2][~dropped], labels[~dropped])
    for rate, count in ((0.0, 0), (1.0, n)):
        SimpleLoss(S, cond_dropout=rate)(net, x0, np.random.default_rng(0), labels)
        assert (net.seen[-1][2] == 3).sum() == count


def test_a_named_tuple_of_conditions_stays_one():
    class Text(NamedTuple):
        tokens: np.ndarray
        mask: None = None

    class Model:
        def null_cond(self, cond):
            return Text(np.zeros(3))

    dropped = drop_conditions(Model(), Text(np.ones((4, 3))), 1.0, np.random.default_rng(0), 4)
    assert type(dropped) is Text and not dropped.tokens.any() and dropped.mask is None


def test_conditions_of_several_arrays_are_dropped_together():
    cond = {"label": np.arange(8), "tokens": (np.arange(24).reshape(8, 3), np.ones((8, 3, 2)))}
    seen = []

    class Model:
        def __call__(self, xt, t, cond):
            seen.append(cond)
            return xt, lambda dy: dy

        def null_cond(self, cond):
            return {"label": -1, "tokens": (np.zeros(3), 0.0)}

    SimpleLoss(S, cond_dropout=0.5)(Model(), np.zeros((8, 2)), np.random.default_rng(0), cond)
    drop = seen[0]["label"] == -1
    assert 0 < drop.sum() < 8
    tokens, context = seen[0]["tokens"]
    np.testing.assert_array_equal(tokens, np.where(drop[:, None], 0, cond["tokens"][0]))
    np.testing.assert_array_equal(context, np.where(drop[:, None, None], 0, cond["tokens"][1]))


def test_bad_input(tiny_net):
    with pytest.raises(ValueError, match="did you mean min_snr"):
        SimpleLoss(S, weighting="minsnr")
    with pytest.raises(ValueError, match="predicts: got 'noise'"):
        SimpleLoss(S, "noise")
    with pytest.raises(ValueError, match=r"cond_dropout: got 1.5"):
        SimpleLoss(S, cond_dropout=1.5)
    with pytest.raises(TypeError, match="x0: got dtype uint8"):
        SimpleLoss(S)(tiny_net(2, 2), X0.astype(np.uint8), Rng(0))
    with pytest.raises(ValueError, match=r"the model put out \(6, 3, 3, 1\), expected \(6, 3, 3, 2\)"):
        SimpleLoss(S)(tiny_net(2, 1), X0, Rng(0))
    with pytest.raises(ValueError, match="pass cond_dropout=0"):
        SimpleLoss(S)(lambda x, t, c: (x, None), X0, Rng(0), LABELS)
    with pytest.raises(NotImplementedError, match="has no compare"):
        Objective(S)(tiny_net(2, 2), X0, Rng(0))


def test_its_denoiser_has_the_same_prediction_type_and_schedule(tiny_net):
    denoiser = SimpleLoss(S, "v").denoiser(tiny_net(2, 2))
    assert denoiser.predicts == "v" and denoiser.schedule is S


def test_the_model_gets_the_same_timestep_in_training_and_in_sampling(tiny_net):
    net = tiny_net(2, 2)
    for objective in (SimpleLoss(VP(), time_scale=999.0), ScoreMatching(VP(), time_scale=999.0)):
        objective(net, X0, np.random.default_rng(0))
        assert 0 < net.seen[-1][1].min() and 200 < net.seen[-1][1].max() < 999
        objective.denoiser(net)(X0, 0.5)
        assert net.seen[-1][1] == 0.5 * 999
        objective.denoiser(net).eps_back(X0, 0.25)
        assert net.seen[-1][1] == 0.25 * 999


# ---- weightings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize(
    "process, t", [(S, np.array([5, 500, 999])), (VP(), np.array([0.1, 0.9])), (VE(), np.array([0.2, 0.8]))]
)
def test_a_weighting_means_the_same_whatever_is_predicted(weighting, process, t):
    """An error in x0 costs the same through eps, v or score; `simple` is the one that depends on the target."""
    rng, n, t = np.random.default_rng(0), len(t), np.array(t)
    x0, wrong, eps = rng.standard_normal((3, n, 4))
    alpha, sigma = (c(t).reshape(n, 1) for c in (process.alpha, process.sigma))
    xt = alpha * x0 + sigma * eps
    costs = []
    for predicts in PREDICTS:
        w = weight(process, t, predicts, weighting)
        if weighting == "simple":
            assert w is None
            return
        truth, guess = (from_x0_eps(a, (xt - alpha * a) / sigma, alpha, sigma, predicts) for a in (x0, wrong))
        costs.append(w * ((truth - guess) ** 2).mean(axis=1))
    for cost in costs[1:]:
        np.testing.assert_allclose(cost, costs[0], rtol=1e-9)


def test_weights_as_the_papers_and_diffusers_training_scripts_have_them(diffusers_numbers, outside):
    t, snr = np.array([0, 10, 500, 999]), np.array(diffusers_numbers["snr"])
    outside(weight(S, t, "eps", "min_snr") / (np.minimum(snr, 5) / snr), np.ones(4), atol=2e-4)
    outside(weight(S, t, "v", "min_snr") / (np.minimum(snr, 5) / (snr + 1)), np.ones(4), atol=2e-4)
    outside(weight(S, t, "eps", "p2") / (1 / (1 + snr)), np.ones(4), atol=2e-4)
    np.testing.assert_allclose(weight(S, t, "eps", "snr"), 1, rtol=1e-9)
    np.testing.assert_allclose(weight(S, t, "x0", "x0"), 1, rtol=1e-9)
    np.testing.assert_allclose(weight(S, t, "x0", "truncated_snr"), np.maximum(snr, 1), rtol=2e-4)
    assert weight(S, t, "x0", "min_snr", gamma=2.0).max() == 2.0


def test_v_with_its_plain_error_is_snr_plus_one():
    """Salimans and Ho 2022, section 4: the plain error of v weights x0 by SNR + 1."""
    t = np.array([5, 500, 999])
    np.testing.assert_allclose(1 / weight(S, t, "v", "x0"), np.exp(S.log_snr(t)) + 1, rtol=1e-9)

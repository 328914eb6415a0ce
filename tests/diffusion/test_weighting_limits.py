"""Loss weights where the SNR is 0 or infinite: the analytic limit of every weighting on every prediction.

With a = alpha, s = sigma, a^2 + s^2 = 1 and SNR r = a^2 / s^2, the squared error of x0 is 1/r of eps's, s^2 of v's and
s^2/r of the score's, and s^2/(a + s)^2 of the velocity's, whose limits are those of v. A weight w(r) on x0 is then w/r on eps,
w s^2 on v, w s^2/r on the score and w s^2/(a + s)^2 on the velocity.
"""

import numpy as np
import pytest

from minidiff.diffusion import Denoiser, Schedule, SimpleLoss
from minidiff.diffusion.weighting import WEIGHTINGS, weight
from minidiff.training import TwoStepLoss

INF = np.inf
# limits for SNR -> 0 (a = 0, s = 1) and SNR -> infinity (a = 1, s = 0), worked out by hand
LIMITS = {
    # weighting: {prediction: (at 0, at infinity)}
    # 1/r; s^2; s^2/r
    "x0": {"x0": (1, 1), "eps": (INF, 0), "v": (1, 0), "velocity": (1, 0), "score": (INF, 0)},
    # r; 1; r s^2 = a^2; s^2
    "snr": {"x0": (0, INF), "eps": (1, 1), "v": (0, 1), "velocity": (0, 1), "score": (1, 0)},
    "truncated_snr": {
        "x0": (1, INF),
        "eps": (INF, 1),
        "v": (1, 1),
        "velocity": (1, 1),
        "score": (INF, 0),
    },  # max(r, 1); max(1, 1/r); max(a^2, s^2)
    "min_snr": {
        "x0": (0, 5),
        "eps": (1, 0),
        "v": (0, 0),
        "velocity": (0, 0),
        "score": (1, 0),
    },  # min(r, 5); min(1, 5/r); min(a^2, 5 s^2)
    "p2": {
        "x0": (0, 1),
        "eps": (1, 0),
        "v": (0, 0),
        "velocity": (0, 0),
        "score": (1, 0),
    },  # r/(1 + r); 1/(1 + r) = s^2; a^2 s^2; s^4
}
ENDS = (1e-9, 1 - 1e-9)  # alpha_bar
NEARER = (1e-16, 1 - 2.0**-52)  # for the velocity, whose weights near their limits as alpha and sigma do, not as their squares


class At:
    """A schedule that is wherever it is asked to be: t is alpha_bar."""

    def alpha(self, t):
        return np.sqrt(t)

    def sigma(self, t):
        return np.sqrt(1 - t)


CASES = [(weighting, predicts) for weighting in LIMITS for predicts in ("x0", "eps", "v", "velocity", "score")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weighting, predicts", CASES)
def test_the_limits(weighting, predicts):
    at = weight(At(), np.array([0.0, 1.0]), predicts, weighting)
    np.testing.assert_array_equal(at, LIMITS[weighting][predicts])
    near = weight(At(), np.array(NEARER if predicts == "velocity" else ENDS), predicts, weighting)  # and the curve runs there
    for value, limit in zip(near, at, strict=True):
        assert value > 1e8 if limit == INF else abs(value - limit) < 1e-7, (near, at)


def test_every_weighting_is_in_the_table():
    assert set(LIMITS) == set(WEIGHTINGS) - {"simple"}


@pytest.mark.parametrize("gamma, at_0, at_infinity", [(0.5, 0, INF), (1.0, 0, 1), (2.0, 0, 0)])
def test_p2_on_x0_by_gamma(gamma, at_0, at_infinity):
    """r / (1 + r)^gamma; on eps 1 / (2 + r)^gamma has the limit 2^-gamma at k = 2."""
    np.testing.assert_array_equal(weight(At(), np.array([0.0, 1.0]), "x0", "p2", gamma), (at_0, at_infinity))
    np.testing.assert_allclose(weight(At(), np.array([0.0]), "eps", "p2", gamma, k=2.0), 2.0**-gamma, rtol=1e-15)


@pytest.mark.parametrize("weighting, predicts", CASES)
def test_between_the_ends_nothing_has_changed(weighting, predicts):
    """The definition itself, where it has no 0 / 0."""
    alpha_bar = np.linspace(0.01, 0.99, 50)
    r, s2 = alpha_bar / (1 - alpha_bar), 1 - alpha_bar
    on_x0 = {"x0": 1 + 0 * r, "snr": r, "truncated_snr": np.maximum(r, 1), "min_snr": np.minimum(r, 5), "p2": r / (1 + r)}[
        weighting
    ]
    factor = {"x0": 1, "eps": 1 / r, "v": s2, "velocity": 1 / (1 + r**0.5) ** 2, "score": s2 / r}[predicts]
    np.testing.assert_allclose(weight(At(), alpha_bar, predicts, weighting), on_x0 * factor, rtol=1e-12)


ZERO = Schedule.linear(20, scale_to_T=True).rescale_zero_terminal_snr()


class Zeros:
    def __call__(self, x, t, cond=None):
        return 0 * x, lambda dy: None


def only(t):
    return lambda rng, B: (np.full(B, t), None)


def test_the_loss_at_zero_terminal_snr():
    """A model that outputs 0: min_snr on eps weighs |eps|^2 by 1 at SNR 0, so the loss is its mean square."""
    x0 = np.random.default_rng(0).standard_normal((4, 3))
    eps = np.random.default_rng(1).standard_normal((4, 3))
    loss, _ = SimpleLoss(ZERO, "eps", "min_snr", cond_dropout=0, t_sampler=only(19))(Zeros(), x0, np.random.default_rng(1))
    np.testing.assert_allclose(loss, (eps**2).mean(), rtol=1e-12)
    loss, _ = SimpleLoss(ZERO, "v", "truncated_snr", cond_dropout=0, t_sampler=only(19))(Zeros(), x0, np.random.default_rng(1))
    np.testing.assert_allclose(loss, (x0**2).mean(), rtol=1e-12)  # v = -x0 there, and the weight is 1
    teacher = Denoiser(lambda x, t, c: 0 * x, ZERO, "v")
    loss, _ = TwoStepLoss(teacher, [19, 9], cond_dropout=0)(Zeros(), x0, np.random.default_rng(1))
    np.testing.assert_allclose(loss, ((teacher_target(x0, eps)) ** 2).mean(), rtol=1e-9)


def teacher_target(x0, eps):
    """One student step from pure noise to clean, taught by two of a teacher that outputs v = 0, so x0 = alpha x.

    x_T = eps, x' = sigma' eps (first x0 is 0), second x0 = alpha' x'; one DDIM step to clean lands on it: the target's x0.
    """
    alpha, sigma = ZERO.alpha(9), ZERO.sigma(9)
    return -alpha * sigma * eps  # v = alpha eps - sigma x0 with alpha = 0, sigma = 1


@pytest.mark.parametrize(
    "predicts, weighting", [("eps", "x0"), ("eps", "truncated_snr"), ("score", "x0"), ("score", "truncated_snr")]
)
def test_an_infinite_weight_is_rejected_when_the_loss_is_built(predicts, weighting):
    with pytest.raises(ValueError, match=f"weighting: '{weighting}' on {predicts} is infinite at t = 19"):
        SimpleLoss(ZERO, predicts, weighting)
    SimpleLoss(Schedule.linear(20), predicts, weighting)


def test_unused_options_are_rejected():
    with pytest.raises(ValueError, match="gamma: got 3, only valid with weighting 'min_snr' or 'p2', not 'snr'"):
        SimpleLoss(ZERO, "v", "snr", gamma=3)
    with pytest.raises(ValueError, match=r"k: got 2.0, only valid with weighting 'p2', not 'min_snr'"):
        SimpleLoss(ZERO, "v", "min_snr", k=2.0)

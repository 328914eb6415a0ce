"""DDPM: one small random step back at a time; and what happens when steps are left out."""

import math

from ..backend import xp_of
from ..names import check_choice
from .registry import sampler
from .stepping import CLEAN, READY, Path, Step, transition

VARIANCES = ("fixed_small", "fixed_large", "learned")
PAPER = "DDPM, Ho et al. 2020 (arXiv:2006.11239), alg. 2"


@sampler(order=None, calls=1, deterministic=False, steps=None, paper=PAPER)
def ddpm(denoiser, x, steps=None, variance="fixed_small", rng=None, noisy_end=False, **stepping):
    """Denoising diffusion probabilistic models: the whole chain.   x (B, ...) -> yields Step.   Algorithm 2.

    steps      None for all T; fewer re-derive the betas, as `ddpm_respaced`
    variance   "fixed_small" (right for data that is a point), "fixed_large" (right for data that is N(0, 1)), or
               "learned": between the two, where the network says (Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 15)
    noisy_end  add a step's noise to the finished image too unless it ends at t = 0, as diffusers does
    stepping   see `stepping.Path`
    """
    check_variance(variance, denoiser)
    path = Path(denoiser, x, _all(denoiser) if steps is None else steps, rng=rng, uses="x0", **stepping)
    yield READY
    x = path.x
    for i, now, after in path:
        last = i == len(path) - 1 and not (noisy_end and now.t > 0)
        x, x0 = ancestral_step(path, x, now, after, variance, last)
        yield Step(i, now.t, x, x0)


@sampler(order=None, calls=1, deterministic=False, paper="Nichol and Dhariwal 2021 (arXiv:2102.09672), sec. 4")
def ddpm_respaced(denoiser, x, steps=50, variance="fixed_small", rng=None, **stepping):
    """DDPM on some of the steps, done right: each jump gets the beta that leads from its start to its end.

    The betas are 1 - alpha_bar(t) / alpha_bar(t'), equation 19, where t' is the next step that is visited.
    Arguments as `ddpm`.
    """
    yield from ddpm.__wrapped__(denoiser, x, steps, variance, rng, **stepping)


@sampler(order=None, calls=1, deterministic=False, paper="no paper: a frequent mistake, kept to be looked at")
def ddpm_subset(denoiser, x, steps=50, variance="fixed_small", rng=None, **stepping):
    """DDPM on some of the steps, done wrong: DDPM's formulas with the betas of the full chain, other steps left out.

    Each move goes from t to t - 1 and is then taken to have arrived at the next step visited, so most of the noise is
    still there at the end. Arguments as `ddpm`.
    """
    check_variance(variance, denoiser)
    if stepping.get("final") is not None:
        raise ValueError(
            f"final: got {stepping['final']!r}, but ddpm_subset always ends one step below the last time it visits"
        )
    path = Path(denoiser, x, steps, rng=rng, uses="x0", **stepping)
    if path.T is None:
        raise ValueError("schedule: ddpm_subset leaves out whole steps, and this one has none; use ddpm_respaced")
    yield READY
    x = path.x
    for i, now, _ in path:
        after = path.at(now.t - 1) if now.t >= 1 else CLEAN
        x, x0 = ancestral_step(path, x, now, after, variance, last=i == len(path) - 1)
        yield Step(i, now.t, x, x0)


def ancestral_step(path, x, now, after, variance, last):
    """(x, x0) one step on: the posterior q(x_after | x_now, x0) at the predicted x0. DDPM, equations 6 and 7."""
    if variance == "learned":
        x0, _, share = path.predict(x, now)
    else:
        x0, _ = path.denoise(x, now)
    ratio, beta = transition(now, after)
    beta_small = max(beta * after.sigma**2 / now.sigma**2, 1e-20)  # its logarithm is needed
    x = (after.alpha * beta / now.sigma**2) * x0 + (ratio * after.sigma**2 / now.sigma**2) * x
    if last:
        return x, x0  # no noise into the finished picture
    if variance == "learned":
        std = xp_of(x).exp(0.5 * (share * math.log(beta) + (1.0 - share) * math.log(beta_small)))
    else:
        std = math.sqrt(beta_small if variance == "fixed_small" else beta)
    return x + std * path.noise(), x0


def _all(denoiser):
    T = getattr(getattr(denoiser, "schedule", None), "T", None)
    if T is None:
        raise ValueError("steps: this schedule has no number of steps of its own, so say how many")
    return T


def check_variance(variance, denoiser):
    """Raises ValueError for an unknown variance, and for "learned" where the model learned none."""
    check_choice("variance", variance, VARIANCES)
    if variance == "learned" and not getattr(denoiser, "learned_variance", False):
        raise ValueError("variance: 'learned' needs a Denoiser(..., learned_variance=True), and this one has none")

"""DDPM: one small random step back at a time; and what happens when steps are left out."""

import math

from ..backend import xp_of
from .options import one_of
from .point import CLEAN, transition
from .registry import sampler
from .trajectory import Step

VARIANCES = ("fixed_small", "fixed_large", "learned")
PAPER = "DDPM, Ho et al. 2020 (arXiv:2006.11239), alg. 2"
CHAIN = dict(order=None, calls=1, deterministic=False, uses="x0")
ENDS = {"final": "got {!r}, but ddpm_subset always ends one step below the last time it visits"}


def check_variance(trajectory, variance, **own):
    """Raises ValueError for variance="learned" where the model learned none."""
    if variance == "learned" and not getattr(trajectory.denoiser, "learned_variance", False):
        raise ValueError("variance: 'learned' needs a Denoiser(..., learned_variance=True), and this one has none")


def check_whole_steps(trajectory, variance):
    """As `check_variance`, and for a process in continuous time."""
    check_variance(trajectory, variance)
    if trajectory.T is None:
        raise ValueError("schedule: ddpm_subset leaves out whole steps, and this one has none; use ddpm_respaced")


@sampler(steps=None, paper=PAPER, check=check_variance, **CHAIN)
def ddpm(trajectory, variance: one_of(VARIANCES) = "fixed_small", *, noisy_end=False):
    """Denoising diffusion probabilistic models: the whole chain.   x (B, ...) -> yields Step.   Algorithm 2.

    steps      None for all T; fewer re-derive the betas, as `ddpm_respaced`
    variance   "fixed_small" (right for data that is a point), "fixed_large" (right for data that is N(0, 1)), or
               "learned": between the two, where the network says (Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 15)
    noisy_end  add a step's noise to the finished image too unless it ends at t = 0, as diffusers does
    """
    x = trajectory.x
    for i, now, after in trajectory:
        last = i == len(trajectory) - 1 and not (noisy_end and now.t > 0)
        x, x0 = ancestral_step(trajectory, x, now, after, variance, last)
        yield Step(i, now.t, x, x0)


@sampler(paper="Nichol and Dhariwal 2021 (arXiv:2102.09672), sec. 4", check=check_variance, **CHAIN)
def ddpm_respaced(trajectory, variance: one_of(VARIANCES) = "fixed_small"):
    """DDPM on some of the steps, done right: each jump gets the beta that leads from its start to its end.

    The betas are 1 - alpha_bar(t) / alpha_bar(t'), equation 19, where t' is the next step that is visited.
    Arguments as `ddpm`.
    """
    return ddpm.__wrapped__(trajectory, variance)


@sampler(paper="no paper: a frequent mistake, kept to be looked at", check=check_whole_steps, rejects=ENDS, **CHAIN)
def ddpm_subset(trajectory, variance: one_of(VARIANCES) = "fixed_small"):
    """DDPM on some of the steps, done wrong: DDPM's formulas with the betas of the full chain, other steps left out.

    Each move goes from t to t - 1 and is then taken to have arrived at the next step visited, so most of the noise is
    still there at the end. Arguments as `ddpm`.
    """
    x = trajectory.x
    for i, now, _ in trajectory:
        after = trajectory.at(now.t - 1) if now.t >= 1 else CLEAN
        x, x0 = ancestral_step(trajectory, x, now, after, variance, last=i == len(trajectory) - 1)
        yield Step(i, now.t, x, x0)


def ancestral_step(trajectory, x, now, after, variance, last):
    """(x, x0) one step on: the posterior q(x_after | x_now, x0) at the predicted x0. DDPM, equations 6 and 7."""
    if variance == "learned":
        x0, _, share = trajectory.predict(x, now)
    else:
        x0, _ = trajectory.denoise(x, now)
    ratio, beta = transition(now, after)
    beta_small = max(beta * after.sigma**2 / now.sigma**2, 1e-20)  # its logarithm is needed
    x = (after.alpha * beta / now.sigma**2) * x0 + (ratio * after.sigma**2 / now.sigma**2) * x
    if last:
        return x, x0  # no noise into the finished image
    if variance == "learned":
        std = xp_of(x).exp(0.5 * (share * math.log(beta) + (1.0 - share) * math.log(beta_small)))
    else:
        std = math.sqrt(beta_small if variance == "fixed_small" else beta)
    return x + std * trajectory.noise(), x0

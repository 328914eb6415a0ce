"""DDIM: jump from step to step by re-mixing the two predictions, with as much or as little fresh noise as you like."""

import math

from .options import between, whole
from .point import transition
from .registry import sampler, walks
from .trajectory import Step


@sampler(order=1, calls=1, paper="DDIM, Song et al. 2020 (arXiv:2010.02502), eq. 12")
def ddim(trajectory, eta: between(0, 1) = 0.0, *, stride=None):
    """Denoising diffusion implicit models.   x (B, ...) -> yields Step.   Equations 12 and 16.

    eta        0 adds no noise; 1 adds as much as DDPM on these steps does (fixed_small)
    stride     None: a step ends where the next one begins. A whole number: it ends so many steps lower, wherever the next
               one begins; on uneven times that is wrong, and it is what diffusers does
    """
    x = trajectory.x
    for i, now, after in trajectory:
        if stride is not None:
            after = trajectory.below(now, stride)
        x0, eps = trajectory.denoise(x, now)
        sigma = eta * noise_level(now, after)  # the paper's sigma_t
        x = after.alpha * x0 + math.sqrt(after.sigma**2 - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * trajectory.noise()
        yield Step(i, now.t, x, x0)


def noise_level(now, after):
    """Standard deviation of the noise that DDPM adds between two points. DDIM, equation 16 at eta = 1."""
    return after.sigma / now.sigma * math.sqrt(transition(now, after)[1])


@walks(rejects={"from_clean": "ddim_invert starts from a clean image anyway; leave it out"})
def ddim_invert(trajectory, refine: whole(0) = 0):
    """DDIM run backwards: from a clean image to the noise that DDIM makes that image of.   x (B, ...) -> yields Step.

    DDIM moves down with eps(x_noisy, t_noisy). Going up x_noisy is what we look for, so the first guess asks the
    network about the sample at hand, already at the next time. Song et al. 2020, section 5.4; refined as in
    Pan et al. 2023 (arXiv:2309.04907).

    refine     how often to ask again about the answer itself; each time brings the round trip nearer to exact
    The steps are walked in the opposite order. `start` counts from the noisy end as ever, and the walk stops there. What
    `clip` clips away cannot be found again.
    """
    x = trajectory.x
    for i, after, now in reversed(list(trajectory)):  # `now` is the cleaner point
        _, eps = trajectory.denoise(x, after)
        x0 = trajectory.clip((x - now.sigma * eps) / now.alpha)
        guess = after.alpha * x0 + after.sigma * eps
        for _ in range(refine if after.alpha or now.sigma else 0):
            x0, eps = trajectory.denoise(guess, after)
            guess = _step_up(x, after.alpha * eps - after.sigma * x0, now, after)
        x = guess
        yield Step(i, after.t, x, x0)


def _step_up(x, v, now, after):
    """The sample at the noisier point `after` that DDIM leads from to x, were v = alpha eps - sigma x0 there this one.

    Holding v and not eps: near pure noise eps is the sample itself, and asking again would hardly change the answer.
    """
    square = after.alpha**2 + after.sigma**2
    along = now.alpha * after.alpha + now.sigma * after.sigma
    return (square * x + (now.alpha * after.sigma - now.sigma * after.alpha) * v) / along

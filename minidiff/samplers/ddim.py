"""DDIM: jump from step to step by re-mixing the two predictions, with as much or as little fresh noise as you like."""

import math

from .registry import eager, sampler
from .stepping import READY, Path, Step, check_range, transition


@sampler(order=1, calls=1, paper="DDIM, Song et al. 2020 (arXiv:2010.02502), eq. 12")
def ddim(denoiser, x, steps=50, eta=0.0, rng=None, stride=None, **stepping):
    """Denoising diffusion implicit models.   x (B, ...) -> yields Step.   Equations 12 and 16.

    eta        0 adds no noise; 1 adds as much as DDPM on these steps does (fixed_small)
    stride     None: a step ends where the next one begins. A whole number: it ends so many steps lower, wherever the next
               one begins; on uneven times that is wrong, and it is what diffusers does
    stepping   see `stepping.Path`
    """
    check_range("eta", eta, 0, 1)
    path = Path(denoiser, x, steps, rng=rng, **stepping)
    yield READY
    x = path.x
    for i, now, after in path:
        if stride is not None:
            after = path.below(now, stride)
        x0, eps = path.denoise(x, now)
        noise = eta * noise_level(now, after)
        x = after.alpha * x0 + math.sqrt(after.sigma**2 - noise**2) * eps
        if noise > 0:
            x = x + noise * path.noise()
        yield Step(i, now.t, x, x0)


def noise_level(now, after):
    """Standard deviation of the noise that DDPM adds between two points. DDIM, equation 16 at eta = 1."""
    return after.sigma / now.sigma * math.sqrt(transition(now, after)[1])


@eager
def ddim_invert(denoiser, x, steps=50, refine=0, rng=None, **stepping):
    """DDIM run backwards: from a clean picture to the noise that DDIM makes that picture of.   x (B, ...) -> yields Step.

    DDIM moves down with eps(x_noisy, t_noisy). Going up x_noisy is what we look for, so the first guess asks the
    network about the sample at hand, already at the next time. Song et al. 2020, section 5.4; refined as in
    Pan et al. 2023 (arXiv:2309.04907).

    refine     how often to ask again about the answer itself; each time brings the round trip nearer to exact
    stepping   see `stepping.Path`; the steps are walked in the opposite order, `start` counts from the noisy end as ever,
               and the walk stops there; with `clip`, what is clipped away cannot be found again
    """
    if not isinstance(refine, int) or refine < 0:
        raise ValueError(f"refine: got {refine!r}, expected a whole number, at least 0")
    path = Path(denoiser, x, steps, rng=rng, **stepping)
    yield READY
    for i, after, now in reversed(list(path)):  # `now` is the cleaner point
        _, eps = path.denoise(x, after)
        x0 = path.clip((x - now.sigma * eps) / now.alpha)
        guess = after.alpha * x0 + after.sigma * eps
        for _ in range(refine if after.alpha or now.sigma else 0):
            x0, eps = path.denoise(guess, after)
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

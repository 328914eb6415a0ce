"""Editing images with a denoiser: from a sketch (SDEdit), in a hole (inpainting), between two images (interpolation)."""

import functools
import inspect
import math
import warnings

from ..backend import xp_of
from ..rng import as_rng
from .ddim import ddim, ddim_invert
from .ddpm import VARIANCES, ancestral_step, check_variance
from .not_finite import watched
from .options import one_of, whole
from .registry import STEPPING, check_names, find
from .run import prior_std
from .trajectory import Step, Trajectory


def _renamed_argument(function):
    """The function, which still accepts `picture=` for its argument `image`, with a DeprecationWarning."""

    @functools.wraps(function)
    def accepting_both(*arguments, **options):
        if "picture" in options:
            warnings.warn("`picture=` was renamed, use `image=`", DeprecationWarning, stacklevel=2)
            options["image"] = options.pop("picture")
        return function(*arguments, **options)

    return accepting_both


@_renamed_argument
def sdedit(denoiser, image, strength=0.5, steps=50, sampler="ddim", rng=None, **options):
    """Noise an image up to an intermediate step and sample from there. Meng et al. 2021 (arXiv:2108.01073), algorithm 1.

    image      (B, ...), clean: a sketch, a collage, another sample   ->   generator of Step
    strength   fraction of the steps to take: near 0 little changes, at 1 little is kept
    options    those of the sampler and of `Trajectory`
    """
    if not 0 < strength <= 1:
        raise ValueError(f"strength: got {strength}, expected a number above 0, at most 1")
    for option in ("start", "from_clean"):
        if option in options:
            raise ValueError(f"{option}: cannot be combined with strength, which sets it; use `samplers.{sampler}` itself")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps: got {steps!r}, expected a whole number, at least 1")
    start = steps - max(1, round(strength * steps))
    return find(sampler).function(denoiser, image, steps=steps, start=start, from_clean=True, rng=rng, **options)


@_renamed_argument
def inpaint(denoiser, image, mask, steps=50, variance="fixed_small", x=None, rng=None, **stepping):
    """Fill a hole: each step replaces the known pixels by those of the image at that step's noise level.

    Song et al. 2021 (arXiv:2011.13456), appendix I.2. The filled part may not fit the known part well: see `repaint`.

    image      (B, ...), clean; its values inside the hole do not matter   ->   generator of Step
    mask       from 0 to 1: 1 where the image is known, 0 in the hole; its shape broadcasts to the image's
    x          noise to start from; None draws it
    variance   "fixed_small", "fixed_large" or "learned", as in `ddpm`;   stepping: see `Trajectory`
    """
    return _fill(inpaint, denoiser, image, mask, steps, 1, 1, variance, x, rng, stepping)


@_renamed_argument
def repaint(denoiser, image, mask, steps=50, jump=10, resamples=10, variance="fixed_small", x=None, rng=None, **stepping):
    """Fill a hole so that it fits its surroundings, by repeated noising and denoising.   -> generator of Step

    Lugmayr et al. 2022 (arXiv:2201.09865), algorithm 1 and appendix B. Arguments as `inpaint`, and
    jump        steps of noise that are added back each time
    resamples   how often each stretch is denoised; 1 is `inpaint`
    """
    return _fill(repaint, denoiser, image, mask, steps, jump, resamples, variance, x, rng, stepping)


def _fill(function, denoiser, image, mask, steps, jump, resamples, variance, x, rng, stepping):
    check_names(function.__name__, stepping, dict.fromkeys([*list(inspect.signature(function).parameters)[2:-1], *STEPPING]))
    for option, value in (("jump", jump), ("resamples", resamples)):
        whole(1).check(option, value)
    one_of(VARIANCES).check("variance", variance)
    xp, rng = xp_of(image), as_rng(rng, xp_of(image))
    mask = xp.asarray(mask)
    if mask.ndim > image.ndim or any(m not in (1, p) for m, p in zip(mask.shape[::-1], image.shape[::-1], strict=False)):
        raise ValueError(f"mask: got shape {mask.shape}, expected one that broadcasts to the image's {image.shape}")
    mask, image = _known(mask, image)
    if x is None:
        x = xp.asarray(rng.standard_normal(image.shape, dtype=image.dtype)) * prior_std(denoiser)
    elif x.shape != image.shape:
        raise ValueError(f"x: got shape {x.shape}, expected the image's {image.shape}")
    trajectory = Trajectory(denoiser, x, steps, rng=rng, uses="x0", **stepping)
    check_variance(trajectory, variance)
    run = _repaint(trajectory, image, mask, jump, resamples, variance)
    return watched(run, function.__name__, image, stepping.get("graph", True))


def _repaint(trajectory, image, mask, jump, resamples, variance):
    """Algorithm 1."""
    x, points, at = trajectory.x, trajectory.points, trajectory.start
    for target in repaint_walk(len(trajectory), jump, resamples, trajectory.start):
        now, after = points[at], points[target]
        if target > at:
            x, x0 = ancestral_step(trajectory, x, now, after, variance, last=target == len(trajectory))
            known = after.alpha * image
            if after.sigma > 0:
                known = known + after.sigma * trajectory.noise()
            x = mask * known + (1 - mask) * x
            yield Step(at, now.t, x, x0)
        else:
            x = noise_up(trajectory, x, now, after)
        at = target


def _known(mask, image):
    """(mask in the image's dtype, image with 0 inside the hole). Raises ValueError for a mask outside [0, 1] and for
    NaN or infinity where the image is known."""
    xp = xp_of(image)
    low, high = (float(end) for end in (mask.min(), mask.max()))
    if not (0 <= low and high <= 1):
        raise ValueError(
            f"mask: got values from {low:g} to {high:g}, expected 0 (hole) to 1 (known); divide a mask of 0 and 255 by 255"
        )
    inside = xp.broadcast_to(mask == 0, image.shape)
    image = xp.where(inside, xp.zeros_like(image), image)  # 0 times NaN would still be NaN
    bad = int((~xp.isfinite(image)).sum())
    if bad:
        raise ValueError(f"image: got {bad} values that are NaN or infinite where the mask is not 0")
    return mask.astype(image.dtype), image


def repaint_walk(steps, jump, resamples, start=0):
    """The points that RePaint visits after the first: steps down (+1), now and then `jump` single steps up (-1).

    Point `steps` is the clean end. The turning points are those with 1, 1 + jump, 1 + 2 jump, ... steps left, each
    turned at resamples - 1 times.
    """
    left = dict.fromkeys(range(0, steps - start - jump, jump), resamples - 1)
    at = start
    while at < steps:
        at += 1
        yield at
        if left.get(steps - 1 - at, 0) > 0:
            left[steps - 1 - at] -= 1
            for _ in range(jump):
                at -= 1
                yield at


def noise_up(trajectory, x, now, after):
    """x at the cleaner point `now` given the noise that leads to the noisier point `after`: q(x_after | x_now)."""
    ratio = after.alpha / now.alpha
    return ratio * x + math.sqrt(after.sigma**2 - ratio**2 * now.sigma**2) * trajectory.noise()


def interpolate(denoiser, a, b, shares, steps=50, rng=None, **stepping):
    """Interpolate between two images: invert both to noise by DDIM, mix the noise on the sphere, and sample.

    a, b       one clean image each (H, W, C)   shares: numbers from 0 (a) to 1 (b)   ->   (len(shares), H, W, C)
    stepping   see `Trajectory`.   Song et al. 2020 (arXiv:2010.02502), section 5.3
    """
    if a.shape != b.shape:
        raise ValueError(f"a, b: got shapes {a.shape} and {b.shape}, expected the same")
    xp = xp_of(a, b)
    for step in ddim_invert(denoiser, xp.stack([a, b]), steps=steps, rng=rng, **stepping):
        noise = step.x
    mixed = xp.concatenate([slerp(noise[:1], noise[1:], share) for share in shares])
    for step in ddim(denoiser, mixed, steps=steps, rng=rng, **stepping):
        mixed = step.x
    return mixed


def slerp(a, b, share):
    """Interpolate two noises along the sphere, which keeps their length (spherical linear interpolation).

    a, b (B, ...)   share: a number from 0 (a) to 1 (b)   ->   (B, ...).   Shoemake 1985
    Nearly parallel noises are mixed linearly.
    """
    xp, B = xp_of(a, b), len(a)
    u, v = a.reshape(B, -1), b.reshape(B, -1)
    lengths = xp.sqrt((u * u).sum(axis=1) * (v * v).sum(axis=1))
    cosine = ((u * v).sum(axis=1) / xp.maximum(lengths, 1e-30)).clip(-1.0, 1.0)
    angle = xp.arccos(cosine)  # (B,)
    sine = xp.maximum(xp.sin(angle), 1e-30)
    straight = abs(cosine) > 0.9999
    of_a = xp.where(straight, 1.0 - share, xp.sin((1.0 - share) * angle) / sine).astype(a.dtype)
    of_b = xp.where(straight, share, xp.sin(share * angle) / sine).astype(a.dtype)
    return (of_a[:, None] * u + of_b[:, None] * v).reshape(a.shape)

"""One line from a denoiser to images: `sample` starts from noise and runs a sampler to its end; `walk` hands out its steps."""

import math

import numpy as np

from ..backend import device_of, module_of, xp_of
from ..diffusion import cfg
from ..progress import progress as show
from ..rng import as_rng
from .registry import find


def sample(
    name, denoiser, shape, steps=None, rng=None, progress=False, cond=None, start=0, x=None, dtype=None, device=None, **options
):
    """Images from noise, by the sampler of this name.   -> (B, ...), the last x

    name       one of `SAMPLERS`, which `minidiff samplers` lists, or a function that is called as they are
    shape      (B, ...) of what to make
    steps      how many; None: what the sampler takes by itself, at most the schedule's T
    rng        None, a seed or a generator: the same seed gives the same images
    progress   show a bar
    x          where to start, in place of noise: with `start`, a sample at that step's noise level; with
               from_clean=True, a clean image that is noised to it first
    dtype, device   of the noise: float32 on the "cpu" unless given; with x, which has both, only what x has
    options    the sampler's own (eta=, variance=, clip=, spacing=, sigmas=, ...)

    Raises ValueError for an unknown name and for options the sampler cannot take (with the nearest ones), before the
    denoiser is asked anything; `not_finite.NotFinite` for a sample with NaN or infinity in it.
    """
    if not callable(name):
        find(name).check(options | ({} if steps is None else {"steps": steps}))
    if x is not None and dtype is not None and x.dtype != dtype:
        raise ValueError(f"dtype: got {np.dtype(dtype)}, but x is {x.dtype}: leave dtype out, or convert x")
    if x is not None and device is not None and device_of(x) != device:
        raise ValueError(f"device: got {device!r}, but x is on {device_of(x)!r}: leave device out, or move x")
    dtype, device = dtype or np.float32, device or "cpu"
    rng = as_rng(rng, module_of(device) if x is None else xp_of(x))
    if x is None:
        for option, value in (("start", start), ("from_clean", options.get("from_clean"))):
            if value:
                raise ValueError(f"{option}: got {value} without x; such a run needs a sample to start from")
        x = first_noise(denoiser, shape, rng, dtype, options.get("sigmas"))
    elif tuple(x.shape) != tuple(shape):
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected {tuple(shape)}")
    for step in walk(name, denoiser, x, steps, progress=progress, cond=cond, rng=rng, start=start, **options):
        x = step.x
    return x


def walk(
    sampler, denoiser, x, steps=None, progress=False, cond=None, guidance=0.0, null=None, rescale=0.0, wrap=None, **options
):
    """The steps of a run that starts from x.   x (B, ...) -> generator of Step

    sampler    one of `SAMPLERS`, or any function that is called as they are
    steps      None: what the sampler takes by itself, at most the schedule's T
    progress   show a bar; a text stands in front of it in place of the sampler's name
    guidance   weight w of classifier-free guidance to cond; null, rescale: see `diffusion.cfg`
    wrap       a function of the guided denoiser: what the sampler calls in its place
    options    the sampler's own
    """
    row = None if callable(sampler) else find(sampler)
    function, default = (row.function, row.steps) if row else (sampler, None)
    if guidance and cond is not None:
        denoiser, cond = cfg(denoiser, cond, guidance, null=null, rescale=rescale), None
    denoiser = wrap(denoiser) if wrap else denoiser
    sigmas = options.get("sigmas")
    if steps is None and default is not None and sigmas is None:
        steps = min(default, getattr(denoiser.schedule, "T", default))
    if steps is not None:
        options["steps"] = steps
    run = function(denoiser, x, cond=cond, **options)
    if not progress:
        return run
    total = len(sigmas) - 1 if sigmas is not None else steps if np.ndim(steps) == 0 else len(steps)
    label = progress if progress is not True else row.name if row else getattr(sampler, "__name__", None)
    return show(run, total=total - options.get("start", 0) if total else None, label=label)


def first_noise(denoiser, shape, rng, dtype=np.float32, sigmas=None):
    """The noise that a run starts from, as large as the schedule says.   -> (B, ...)"""
    return rng.standard_normal(tuple(shape), dtype=dtype) * np.dtype(dtype).type(prior_std(denoiser, sigmas))


def prior_std(denoiser, sigmas=None):
    """Standard deviation of the noise that a run starts from: the schedule's `prior_std`, or 1 where it has none.

    With noise levels of one's own: what data of variance 1 has at the first of them.
    """
    schedule = denoiser.schedule
    if sigmas is None or len(sigmas) == 0 or not sigmas[0] > 0:  # the last two are errors that the sampler will name
        return float(getattr(schedule, "prior_std", 1.0))
    t = schedule.t_of_log_snr(-2.0 * math.log(sigmas[0]))
    return math.hypot(schedule.alpha(t), schedule.sigma(t))

"""A call of a sampler's denoiser on a GPU as one CUDA graph: networks, guidance and clipping in a single launch."""

import functools

import numpy as np

from ..backend import xp_of
from ..diffusion import Denoiser, EDMDenoiser
from ..diffusion.guidance import Guided
from ..diffusion.thresholding import Clipped
from ..gpu.recorder import Recorded
from ..settings import is_plain

WORTH_IT = 8  # calls in a run; recording costs about three


def recorded(denoiser, x, calls, cond=None, graph=True, tf32=False):
    """`denoiser` as a run of that many calls on samples like x calls it: recorded where it can be, else itself.

    x   (B, ...), float32 on the device   cond: what it is called with, the same arrays in every call
    """
    if not can_be_recorded(denoiser) or x.dtype != np.float32 or is_plain():
        return denoiser
    return SamplingStep(denoiser, x, cond, graph and calls >= WORTH_IT, tf32)


def can_be_recorded(denoiser):
    """Whether a call is the same work on the device for every t, and waits for no number from there.

    Not where guidance depends on t or a quantile is taken, nor for a model that is a plain function: it may look at t,
    which lies in device memory. Not where ranks share the rows: messages cannot be recorded.
    """
    if isinstance(denoiser, (Guided, Clipped)):
        return getattr(denoiser, "interval", None) is None and can_be_recorded(denoiser.denoiser)
    model = getattr(denoiser, "model", None)
    return isinstance(denoiser, (Denoiser, EDMDenoiser)) and hasattr(model, "predict") and getattr(model, "recordable", True)


class SamplingStep:
    """A denoiser in a denoiser's place:   step(x, t, cond) -> (x0, eps),   step.predict(x, t, cond) -> (x0, eps, share)

    The time goes into device memory, so one recording serves every step; x is copied in, the results out.
    graph, tf32: see `gpu.recorder.Recorded`
    """

    def __init__(self, denoiser, x, cond=None, graph=True, tf32=False):
        self.denoiser, self.cond, self.options, self.steps = denoiser, cond, (graph, tf32), {}
        self.xp, self.x = xp_of(x), x.copy()

    def __call__(self, x, t, cond=None):
        return self._run("__call__", x, t)

    def predict(self, x, t, cond=None):
        return self._run("predict", x, t)

    def _run(self, method, x, t):
        if self.denoiser.schedule.alpha(t) == 0:  # a time in device memory cannot be looked at, and this one is special
            return getattr(self.denoiser, method)(x, t, self.cond)
        kind = method, np.int64 if isinstance(t, (int, np.integer)) else np.float64
        if kind not in self.steps:
            times = self.xp.zeros(x.shape[:1], dtype=kind[1])
            call = functools.partial(getattr(self.denoiser, method), self.x, times, self.cond)
            self.steps[kind] = times, Recorded(self.xp, call, *self.options)
        times, step = self.steps[kind]
        self.x[...] = x
        times.fill(t)
        return tuple(result if result is None else result.copy() for result in step())

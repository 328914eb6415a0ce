"""What every sampler is given: the points it visits, where it starts, its noise, and the denoiser as it calls it."""

from typing import Any, NamedTuple

import numpy as np

from ..backend import xp_of
from ..diffusion.thresholding import Threshold, clip_x0, dynamic_threshold, held, rederived
from ..rng import as_rng
from .grid import grid
from .options import pure_noise
from .point import Curve
from .recorded_step import recorded


class Step(NamedTuple):
    """One move of a sampler.

    i    which step, counted from 0 at the noisy end (from `start` when the run starts there)
    t    the time it moved away from, as the denoiser got it
    x    the sample after the move      (B, ...)
    x0   the clean image that the denoiser predicted on the way      (B, ...)
    """

    i: int
    t: int | float
    x: Any
    x0: Any


class Trajectory(Curve):
    """The points of one run, and the denoiser as that run calls it. Iterating gives (i, now, after) for every step.

    denoiser    denoiser(x, t, cond) -> (x0, eps), with a `schedule`
    x           where to start (B, ...), float: noise of the schedule's own scale, or as `start` and `from_clean` say

    Which points
    steps       how many steps, or the times themselves, descending
    default     the sampler's own choice of spacing, skip_last and final, where the caller makes none
    spacing     "leading", "linspace", "trailing", "quadratic", "karras", "exponential", "lu", "beta": see diffusion.spacing;
                a process in continuous time has "linspace" and the last four. None: "leading", or there "linspace"
    offset, skip_last, whole   details of the spacing, as there; None: 0, False, True
    sigmas      noise levels sigma / alpha, descending, the last one where the run ends; takes the place of `steps`
    final       what follows the last time: "zero" (clean, the default), or "sigma_min" (the schedule's lowest noise)
    rho         the bend of "karras", by default 7

    Where it starts
    start       the step to begin with, 0 to steps - 1; x is then a sample at that step's noise level
    from_clean  x is a clean image: noise it to the level of `start` first. SDEdit, Meng et al. 2021 (arXiv:2108.01073)
    rng         None, a seed, or a generator: of this noise and of all that follows

    What the denoiser predicts
    cond        passed to the denoiser as it is
    clip        hold the predicted x0 to [-clip, clip]; "dynamic" holds it to its own quantile (Imagen); None leaves it
    rederive    make eps agree with the clipped x0; samplers that step with eps alone always do
    uses        the prediction that the sampler steps with: "x0", "eps" or "both"

    On a GPU
    graph       True calls the denoiser as one CUDA graph where it can be one, False the same launch by launch (the same
                bits), None calls it as it is: for a caller that records the whole run
    tf32        round the factors of matrix products to 10 bits

    Raises ValueError for options that would have no effect together.
    """

    def __init__(
        self, denoiser, x, steps, default=None, *, start=0, from_clean=False, clip=None, rederive=False, uses="both",
        cond=None, rng=None, graph=True, tf32=False, **spacing,
    ):  # fmt: skip
        if not callable(denoiser) or getattr(denoiser, "schedule", None) is None:
            raise TypeError(f"denoiser: got {type(denoiser).__name__}, expected one with a schedule: Denoiser(model, schedule)")
        xp = xp_of(x)
        if getattr(x, "dtype", None) is None or x.dtype.kind != "f" or x.ndim == 0:
            raise TypeError(f"x: got {getattr(x, 'dtype', type(x).__name__)}, expected an array of floats (B, ...)")
        super().__init__(denoiser.schedule)
        self.points = grid(self, steps, default, **spacing)
        if not isinstance(start, (int, np.integer)) or not 0 <= start < len(self):
            raise ValueError(f"start: got {start!r}, expected a step from 0 to {len(self) - 1} of this run of {len(self)}")
        self.start, self.cond, self.rng, self.x = int(start), cond, as_rng(rng, xp), x
        self.denoiser = self._run = clipped(denoiser, clip, rederive, uses)
        if from_clean:
            self.x = self.first.alpha * x + self.first.sigma * self.noise()
        if hasattr(xp, "RawKernel") and graph is not None:
            self._run = recorded(self.denoiser, self.x, len(self) - self.start, cond, graph, tf32)

    @property
    def first(self):
        """The point where the run starts."""
        return self.points[self.start]

    def __len__(self):
        """How many steps, those before `start` included."""
        return len(self.points) - 1

    def __iter__(self):
        for i in range(self.start, len(self)):
            yield i, self.points[i], self.points[i + 1]

    def denoise(self, x, point):
        """(x0, eps) of x at this point: one evaluation of the network."""
        return self._run(x, point.t, self.cond)

    def predict(self, x, point):
        """(x0, eps, share): also where between its bounds the network puts the variance, if it learned one."""
        return self._run.predict(x, point.t, self.cond)

    def clip(self, x0):
        """x0 held to its bounds, if this run has any; for samplers that work out x0 themselves."""
        return held(self.denoiser, x0)

    def noise(self):
        """Fresh standard normal noise of x's shape, dtype and device."""
        return xp_of(self.x).asarray(self.rng.standard_normal(self.x.shape, dtype=self.x.dtype))

    def below(self, point, stride):
        """The point so many steps below this one; below 0 the point where the run ends."""
        return self.at(point.t - stride) if point.t >= stride else self.points[-1]


def clipped(denoiser, clip, rederive, uses):
    """The denoiser with its x0 held as these options of Trajectory say."""
    if rederive and uses == "x0":
        raise ValueError("rederive: got True, but this sampler steps with x0 alone and never reads eps; leave it out")
    if rederive and clip is None and not isinstance(denoiser, Threshold):
        raise ValueError("rederive: got True without clip: only a clipped x0 leaves an eps to re-derive; pass clip= too")
    rederive = rederive or uses == "eps"
    if rederive:
        denoiser = rederived(denoiser)
    if clip is None:
        return denoiser
    if clip == "dynamic":
        return dynamic_threshold(denoiser, rederive=rederive)
    if isinstance(clip, str) or not clip > 0:
        raise ValueError(f"clip: got {clip!r}, expected a positive bound, 'dynamic' or None")
    return clip_x0(denoiser, float(clip), rederive=rederive)


def check_signal(trajectory, **own):
    """Raises ValueError where the trajectory starts at alpha = 0, for samplers that cannot step from pure noise."""
    if trajectory.first.alpha == 0:
        raise ValueError(pure_noise("this sampler"))

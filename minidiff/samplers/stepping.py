"""What every sampler shares: which steps it visits, where it starts and ends, and how it asks the denoiser.

A sampler walks a `Path`, a list of points from noisy to clean, and yields a `Step` after each move. A point is a time
together with what the schedule says about it,   x_t = alpha x0 + sigma eps,   as Python floats of 64 bits.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import xp_of
from ..diffusion.sigmas import LEVEL_RULES
from ..diffusion.spacing import SPACINGS, check_steps, spaced_steps
from ..diffusion.thresholding import held
from ..names import check_choice
from ..rng import as_rng
from .options import check_fit, clipped, pure_noise, reject

FINALS = ("zero", "sigma_min")
READY = None  # a sampler yields this once, when its arguments are checked: a wrong one is an error at the call itself


class Step(NamedTuple):
    """One move of a sampler.

    i    which step, counted from 0 at the noisy end (from `start` when the run starts there)
    t    the time it moved away from, as the denoiser was told it
    x    the sample after the move      (B, ...)
    x0   the clean picture that the denoiser predicted on the way      (B, ...)
    """

    i: int
    t: int | float
    x: Any
    x0: Any


class Point(NamedTuple):
    """A time and its noise level. `t` is None where no noise is left, and no denoiser can be asked."""

    t: int | float | None
    alpha: float
    sigma: float

    @property
    def s(self):
        """sigma / alpha: the noise level once x is divided by alpha, which is the sigma of Karras et al."""
        return self.sigma / self.alpha if self.alpha else math.inf

    @property
    def lam(self):
        """log(alpha / sigma), half the log-SNR: the lambda of the DPM-Solver papers. Infinite where sigma = 0."""
        if self.sigma == 0:
            return math.inf
        return math.log(self.alpha / self.sigma) if self.alpha else -math.inf


CLEAN = Point(None, 1.0, 0.0)


class Path:
    """The points of one run, and the denoiser as that run asks it. Iterating gives (i, now, after) for every step.

    denoiser    denoiser(x, t, cond) -> (x0, eps), with a `schedule`
    x           where to start (B, ...), float: noise of the schedule's own scale, or what `start` and `from_clean` say
    steps       how many steps, or the times themselves, descending
    spacing     "leading", "linspace", "trailing", "quadratic", "karras", "exponential", "lu", "beta": see diffusion.spacing;
                a process in continuous time knows "linspace" and the last four. None: "leading", or there "linspace"
    offset, skip_last, whole   details of the spacing, as there; None: 0, False, True
    sigmas      own noise levels sigma / alpha, descending, the last one where the run ends; takes the place of `steps`
    final       what follows the last time: "zero" (clean, the default), or "sigma_min" (the schedule's lowest noise)
    rho         the bend of "karras", by default 7
    start       the step to begin with, 0 to steps - 1; x is then a sample at that step's noise level
    from_clean  x is a clean picture: noise it to the level of `start` first. SDEdit, Meng et al. 2021 (arXiv:2108.01073)
    clip        hold the predicted x0 to [-clip, clip]; "dynamic" holds it to its own quantile (Imagen); None leaves it
    rederive    make eps agree with the clipped x0; samplers that step with eps alone always do
    cond        handed to the denoiser as it is
    rng         None, a seed, or a generator
    graph       on a GPU: True asks the denoiser as one CUDA graph where it can be one, False the same launch by launch
                (the same bits), None asks it as it is: for somebody who records the whole run
    tf32        on a GPU: round the factors of matrix products to 10 bits

    A sampler adds what it needs:
    grid        its own choice of spacing, skip_last and final, where the caller makes none
    uses        which prediction it steps with: "x0", "eps" or "both"

    Raises ValueError for options that would have no effect together.
    """

    def __init__(
        self,
        denoiser,
        x,
        steps,
        *,
        spacing=None,
        offset=None,
        skip_last=None,
        whole=None,
        sigmas=None,
        final=None,
        rho=None,
        start=0,
        from_clean=False,
        clip=None,
        rederive=False,
        cond=None,
        rng=None,
        graph=True,
        tf32=False,
        grid=None,
        uses="both",
    ):
        self.schedule = getattr(denoiser, "schedule", None)
        if not callable(denoiser) or self.schedule is None:
            raise TypeError(f"denoiser: got {type(denoiser).__name__}, expected one with a schedule: Denoiser(model, schedule)")
        xp = xp_of(x)
        if getattr(x, "dtype", None) is None or x.dtype.kind != "f" or x.ndim == 0:
            raise TypeError(f"x: got {getattr(x, 'dtype', type(x).__name__)}, expected an array of floats (B, ...)")
        grid = grid or {}
        check_choice("final", final or FINALS[0], FINALS)
        given = {"spacing": spacing, "offset": offset, "skip_last": skip_last, "whole": whole, "rho": rho}
        if hasattr(self.schedule, "t_min"):
            self.t_min, self.t_max, self.T = self.schedule.t_min, self.schedule.t_max, None
        else:
            self.t_min, self.t_max, self.T = 0, self.schedule.T - 1, self.schedule.T
        if sigmas is not None:
            reject(given | {"final": final}, "sigmas, which name every noise level")
            self.points = self._from_sigmas(sigmas)
        else:
            if np.ndim(steps) == 1:
                reject(given, "steps as a list of times")
                times = self._listed(steps)
            else:
                times = self._spaced(steps, **(grid | {k: v for k, v in given.items() if v is not None}), given=given)
            last = self.at(self.t_min) if (final or grid.get("final")) == "sigma_min" else CLEAN
            self.points = [self.at(t) for t in times] + [last]
        if not isinstance(start, (int, np.integer)) or not 0 <= start < len(self):
            raise ValueError(f"start: got {start!r}, expected a step from 0 to {len(self) - 1} of this run of {len(self)}")
        self.start, self.cond, self.rng = int(start), cond, as_rng(rng, xp)
        self._denoiser = clipped(denoiser, clip, rederive, uses)
        self.x = x
        if from_clean:
            first = self.points[self.start]
            self.x = first.alpha * x + first.sigma * self.noise()
        self._ask = self._denoiser
        if hasattr(xp, "RawKernel") and graph is not None:
            from ..gpu.sampling_step import recorded

            self._ask = recorded(self._denoiser, self.x, len(self) - self.start, cond, graph, tf32)

    @property
    def s_max(self):
        """The highest noise level sigma / alpha of the schedule."""
        return self.at(self.t_max).s

    def __len__(self):
        """How many steps, those before `start` included."""
        return len(self.points) - 1

    def __iter__(self):
        for i in range(self.start, len(self)):
            yield i, self.points[i], self.points[i + 1]

    def denoise(self, x, point):
        """(x0, eps) of x at this point: one evaluation of the network."""
        return self._ask(x, point.t, self.cond)

    def clip(self, x0):
        """x0 held to its bounds, if this run has any; for samplers that work out x0 themselves."""
        return held(self._denoiser, x0)

    def predict(self, x, point):
        """(x0, eps, share): also where between its bounds the network puts the variance, if it learned to say."""
        return self._ask.predict(x, point.t, self.cond)

    def noise(self):
        """Fresh standard normal noise of x's shape, dtype and device."""
        return xp_of(self.x).asarray(self.rng.standard_normal(self.x.shape, dtype=self.x.dtype))

    def at(self, t):
        """The point at time t."""
        t = int(t) if float(t).is_integer() else float(t)
        return Point(t, float(self.schedule.alpha(t)), float(self.schedule.sigma(t)))

    def below(self, point, stride):
        """The point so many steps below this one; below 0 the point where the run ends."""
        return self.at(point.t - stride) if point.t >= stride else self.points[-1]

    def at_lam(self, lam):
        """The point with this log(alpha / sigma), on the schedule's own curve."""
        return self.at(self.schedule.t_of_log_snr(2.0 * lam))

    def at_s(self, s):
        """The point with this sigma / alpha. No noise is the clean end."""
        return CLEAN if s == 0 else self.at_lam(-math.log(s))

    def _listed(self, steps):
        times = np.asarray(steps)
        if len(times) == 0 or not (times[:-1] > times[1:]).all():
            raise ValueError(f"steps: got the times {times}, expected at least one, descending")
        return times

    def _spaced(self, steps, given, spacing=None, offset=0, skip_last=False, whole=True, rho=7.0, final=None):
        spacing = spacing or ("leading" if self.T else "linspace")
        check_choice("spacing", spacing, SPACINGS if self.T else ("linspace", *LEVEL_RULES))
        check_fit(given, spacing, self.T)
        check_steps(steps, self.T or math.inf)
        if spacing in LEVEL_RULES:
            low, high = self.at(self.t_min).s, self.s_max
            if high == math.inf:
                raise ValueError(pure_noise(f"spacing {spacing!r}"))
            levels = LEVEL_RULES[spacing](low, high, steps, **({"rho": rho} if spacing == "karras" else {}))
            return self.schedule.t_of_log_snr(-2.0 * np.log(levels)).clip(self.t_min, self.t_max)
        if self.T:
            skip_last = skip_last and steps != self.T  # all the steps there are leave none to end on
            return spaced_steps(self.schedule, steps, spacing, offset, skip_last, whole)
        return np.linspace(self.t_max, self.t_min, steps + skip_last)[:steps]

    def _from_sigmas(self, sigmas):
        levels = [float(s) for s in sigmas]
        falls = all(a > b for a, b in zip(levels[:-1], levels[1:], strict=True))
        if len(levels) < 2 or not falls or levels[-1] < 0:
            raise ValueError(f"sigmas: got {sigmas}, expected at least two noise levels, descending, none negative")
        points = [self.at_s(s) for s in levels]
        for s, point in zip(levels, points, strict=True):
            if abs(s - point.s) > 1e-6 * s:
                low, high = self.at(self.t_min).s, self.at(self.t_max).s
                raise ValueError(f"sigmas: got {s}, but this schedule's noise levels go from {low:.6g} to {high:.6g}")
        return points


def transition(now, after):
    """(ratio, added): the forward process makes x of the cleaner x' by   x = ratio x' + sqrt(added) z.

    DDPM's sqrt(1 - beta) and beta where the process preserves variance; 1 and a difference of sigma^2 where alpha = 1.
    """
    ratio = now.alpha / after.alpha
    return ratio, now.sigma**2 - (ratio * after.sigma) ** 2


def scaled(path):
    """The first sample divided by alpha, so that the noise in it has standard deviation s = sigma / alpha.

    Raises ValueError where alpha = 0: pure noise has no such scale.
    """
    return check_signal(path).x / path.points[path.start].alpha


def check_signal(path):
    """The path. Raises ValueError where it starts at alpha = 0, for samplers that cannot step from pure noise."""
    if path.points[path.start].alpha == 0:
        raise ValueError(pure_noise("this sampler"))
    return path


def check_range(name, value, low, high):
    """Raises ValueError unless low <= value <= high."""
    if not low <= value <= high:
        raise ValueError(f"{name}: got {value!r}, expected a number from {low} to {high}")

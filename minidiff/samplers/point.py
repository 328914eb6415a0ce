"""Where a sampler stands: a time together with what the schedule has there,   x_t = alpha x0 + sigma eps,   in 64 bits."""

import math
from typing import NamedTuple


class Point(NamedTuple):
    """A time and its noise level. `t` is None where no noise is left, and no denoiser can be called."""

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


class Curve:
    """All points of a schedule, by time or by noise level. T: how many whole times it has; None in continuous time."""

    def __init__(self, schedule):
        self.schedule = schedule
        if hasattr(schedule, "t_min"):
            self.t_min, self.t_max, self.T = schedule.t_min, schedule.t_max, None
        else:
            self.t_min, self.t_max, self.T = 0, schedule.T - 1, schedule.T

    @property
    def s_max(self):
        """The highest noise level sigma / alpha of the schedule."""
        return self.at(self.t_max).s

    def at(self, t):
        """The point at time t."""
        t = int(t) if float(t).is_integer() else float(t)
        return Point(t, float(self.schedule.alpha(t)), float(self.schedule.sigma(t)))

    def at_lam(self, lam):
        """The point with this log(alpha / sigma)."""
        return self.at(self.schedule.t_of_log_snr(2.0 * lam))

    def at_s(self, s):
        """The point with this sigma / alpha. No noise is the clean end."""
        return CLEAN if s == 0 else self.at_lam(-math.log(s))


def transition(now, after):
    """(ratio, added): the forward process makes x of the cleaner x' by   x = ratio x' + sqrt(added) z.

    DDPM's sqrt(1 - beta) and beta where the process preserves variance; 1 and a difference of sigma^2 where alpha = 1.
    """
    ratio = now.alpha / after.alpha
    return ratio, now.sigma**2 - (ratio * after.sigma) ** 2

"""How fast a sampler nears the truth as it takes more steps, where the truth is known.

    measure(my_sampler).slope       # 1 for Euler's method, 2 for Heun's, about 0 where the sampler is wrong

Data N(m, s^2): the best denoiser is a line, and the probability-flow ODE moves x - m in proportion to
sqrt(s^2 + sigma^2). So every deterministic sampler has an exact answer, and its error, on a log-log plot against the
number of steps, falls along a line whose slope is minus the sampler's order.

On coarse grids it is not yet a line, and high orders show last: LMS has 3.0 from 16 to 64 steps, 3.7 from 64 to 256
and 3.9 from there to 1024, with or without exact starting values. So the last slope is the one to go by.
"""

import math
from typing import NamedTuple

import numpy as np

from ..diffusion.continuous import EDM
from ..diffusion.mixture import GaussianMixture
from .registry import SAMPLERS, find

STEPS = (16, 64, 256, 1024)
MEAN, STD = 0.3, 0.5  # of the data
SIGMA_MAX, SIGMA_MIN = 80.0, 0.002


class Convergence(NamedTuple):
    """A sampler's errors.

    name, order   as on the list of samplers; order None for a function that is not on it
    steps         numbers of steps tried
    errors        the largest error of any sample, for each
    slopes        orders measured between one number of steps and the next; the last is the one to go by
    """

    name: str
    order: int | None
    steps: tuple
    errors: tuple
    slopes: tuple

    @property
    def slope(self):
        """The order measured over the two finest grids."""
        return self.slopes[-1]


def measure(samplers=None, steps=STEPS):
    """Errors on the Gaussian problem.   -> Convergence of one sampler, or a list of them

    samplers   a name, a function that is called as in `error`, or a list of these; None: every deterministic sampler
               with a free number of steps
    steps      the numbers of steps to try, ascending; the grid is uniform in log sigma from 80 to 0.002
    """
    if samplers is None:
        samplers = [name for name, row in SAMPLERS.items() if row.deterministic and row.steps is not None]
    if not callable(samplers) and not isinstance(samplers, str):
        return [measure(sampler, steps) for sampler in samplers]
    name, order, function = getattr(samplers, "__name__", type(samplers).__name__), None, samplers
    if not callable(samplers):
        row = find(samplers)
        name, order, function = row.name, row.order, row.function
    errors = tuple(error(function, n) for n in steps)
    slopes = tuple(math.log(errors[i] / errors[i + 1]) / math.log(steps[i + 1] / steps[i]) for i in range(len(steps) - 1))
    return Convergence(name, order, tuple(steps), errors, slopes)


def error(function, steps, **options):
    """Largest error of one sampler over samples that start at sigma = 80, in `steps` steps. float64.

    function   called as function(denoiser, x, sigmas=levels, **options), levels (steps + 1,) descending. The process is
               `EDM`: alpha = 1 and t = sigma. It returns the last x (B, 1), or yields a Step or an x after every step
    """
    denoiser = GaussianMixture([[MEAN]], stds=STD).denoiser(EDM(SIGMA_MIN, SIGMA_MAX))
    x = SIGMA_MAX * np.array([[-1.25], [0.5], [1.0]])
    truth = MEAN + (x - MEAN) * math.sqrt((STD**2 + SIGMA_MIN**2) / (STD**2 + SIGMA_MAX**2))
    levels = np.exp(np.linspace(math.log(SIGMA_MAX), math.log(SIGMA_MIN), steps + 1))
    last = function(denoiser, x, sigmas=levels, **options)
    if not isinstance(last, np.ndarray):
        *_, last = last
    return float(abs(getattr(last, "x", last) - truth).max())

"""How fast a sampler nears the truth as it takes more steps, where the truth is known.

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

    name, order   as on the list of samplers
    steps         numbers of steps tried
    errors        the largest error of any sample, for each
    slopes        orders measured between one number of steps and the next; the last is the one to go by
    """

    name: str
    order: int
    steps: tuple
    errors: tuple
    slopes: tuple

    @property
    def slope(self):
        """The order measured over the two finest grids."""
        return self.slopes[-1]


def measure(names=None, steps=STEPS):
    """Errors on the Gaussian problem, for every deterministic sampler with steps of its own to choose.   -> [Convergence]

    names   which samplers; None: all of them. The grid is uniform in log sigma from 80 to 0.002.
    """
    if names is None:
        names = [row.name for row in SAMPLERS.values() if row.deterministic and row.order is not None and row.steps is not None]
    rows = []
    for name in names:
        row = find(name)
        errors = tuple(error(row.function, n) for n in steps)
        slopes = tuple(math.log(errors[i] / errors[i + 1]) / math.log(steps[i + 1] / steps[i]) for i in range(len(steps) - 1))
        rows.append(Convergence(name, row.order, tuple(steps), errors, slopes))
    return rows


def error(function, steps, **options):
    """Largest error of one sampler over samples that start at sigma = 80, in `steps` steps. float64."""
    denoiser = GaussianMixture([[MEAN]], stds=STD).denoiser(EDM(SIGMA_MIN, SIGMA_MAX))
    x = SIGMA_MAX * np.array([[-1.25], [0.5], [1.0]])
    truth = MEAN + (x - MEAN) * math.sqrt((STD**2 + SIGMA_MIN**2) / (STD**2 + SIGMA_MAX**2))
    levels = np.exp(np.linspace(math.log(SIGMA_MAX), math.log(SIGMA_MIN), steps + 1))
    *_, last = function(denoiser, x, sigmas=levels, **options)
    return float(abs(last.x - truth).max())


def table(rows):
    """The measurements as lines of text, under a heading."""
    steps = rows[0].steps
    spans = [f"{a} to {b}" for a, b in zip(steps[:-1], steps[1:], strict=True)]
    lines = [
        f"{'sampler':<16}{'order':>6}"
        + "".join(f"{f'error at {n}':>15}" for n in steps)
        + "".join(f"{span:>13}" for span in spans)
    ]
    for row in rows:
        lines.append(
            f"{row.name:<16}{row.order:>6}"
            + "".join(f"{e:>15.2e}" for e in row.errors)
            + "".join(f"{slope:>13.2f}" for slope in row.slopes)
        )
    return lines


def draw(rows, path=None):
    """Error against steps, both on log scales, a line a sampler.   -> matplotlib Figure, also written to `path`"""
    from .. import viz

    figure = viz.new_figure(7.5, 5.5, layout="constrained")
    axes = figure.add_subplot()
    styles = {1: "-", 2: "--", 3: "-.", 4: ":"}
    for i, row in enumerate(sorted(rows, key=lambda row: row.order)):
        colour = viz.COLOURS[i % len(viz.COLOURS)]
        label = f"{row.name}: {row.slope:.2f}"
        axes.loglog(row.steps, row.errors, styles[row.order], marker="o", markersize=4, color=colour, label=label)
    axes.set(xlabel="steps", ylabel="largest error", xticks=rows[0].steps, xticklabels=rows[0].steps)
    axes.set_title("Error on Gaussian data, and the order it shows over the last two points", fontsize=11)
    axes.minorticks_off()
    axes.grid(True, linewidth=0.5, alpha=0.5)
    axes.legend(frameon=False, fontsize=8)
    return viz._finish(figure, path)

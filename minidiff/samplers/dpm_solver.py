"""DPM-Solver, singlestep: solve the linear part of the ODE exactly, the network's part by a short Taylor series.

In lambda = log(alpha / sigma) the probability-flow ODE is linear but for the network, so its solution one step on,
lambda' = lambda + h, is known up to an integral over the network's prediction D:

    x' = (alpha' / alpha) x - sigma' integral of eps    DPM-Solver,   Lu et al. 2022 (arXiv:2206.00927), prop. 3.1
    x' = (sigma' / sigma) x + alpha' integral of x0     DPM-Solver++, Lu et al. 2022 (arXiv:2211.01095), prop. 4.1

The two differ in which prediction is taken to be smooth. With k = h for eps and k = -h for x0 both read

    x' = ratio x - scale [ (e^k - 1) D + ((e^k - 1) / k - 1) D' + ((e^k - 1 - k) / k^2 - 1/2) D'' ]

where D' and D'' are slopes of D, in units of h.
"""

import itertools
import math

from .options import one_of
from .registry import sampler
from .trajectory import Step

ORDERS, SOLVERS = (1, 2, 3), ("midpoint", "heun")
GRID = {"spacing": "linspace", "skip_last": True}  # where the authors and diffusers put the steps
PAPER = "DPM-Solver, Lu et al. 2022 (arXiv:2206.00927)"
PAPER_PP = "DPM-Solver++, Lu et al. 2022 (arXiv:2211.01095)"


@sampler(order=3, calls=1, paper=f"{PAPER}, alg. 2", default=GRID, uses="eps", variants={
    "dpm_solver_1": dict(order=1, options=dict(order=1), paper=f"{PAPER}, eq. 3.7"),
    "dpm_solver_2": dict(order=2, options=dict(order=2), paper=f"{PAPER}, alg. 1"),
})  # fmt: skip
def dpm_solver(trajectory, order: one_of(ORDERS) = 3, solver: one_of(SOLVERS) = "midpoint", lower_order_final=True):
    """DPM-Solver of order 1 (which is DDIM), 2 or 3.   x (B, ...) -> yields Step.   Algorithms 1 and 2.

    steps              evaluations of the network: `order` of them make one step of the paper. The points in between are
                       steps of the trajectory; with spacing="exponential" they lie at r = 1/2, or 1/3 and 2/3, as there
    solver             "midpoint" or "heun": two ways to weigh the slopes, of one order
    lower_order_final  end with a step of a lower order
    `clip` also changes the noise that goes with the clipped image.
    """
    return _singlestep(trajectory, "eps", order, solver, lower_order_final)


@sampler(order=2, calls=1, paper=f"{PAPER_PP}, alg. 1", default=GRID, uses="x0", variants={
    "dpmpp_3s": dict(order=3, options=dict(order=3), paper=f"{PAPER_PP}, third order"),
})  # fmt: skip
def dpmpp_2s(trajectory, order: one_of(ORDERS) = 2, solver: one_of(SOLVERS) = "midpoint", lower_order_final=True):
    """DPM-Solver++ 2S: `dpm_solver` with the clean image in place of the noise, so clipping it is sound."""
    return _singlestep(trajectory, "x0", order, solver, lower_order_final)


def _singlestep(trajectory, form, order, solver, lower_order_final):
    """Groups of `order` evaluations: each starts from the group's first x again, with one prediction more to go by."""
    x, points, first = trajectory.x, trajectory.points, trajectory.start
    for end in itertools.accumulate(_groups(points, order, lower_order_final)):
        x_first, outputs = x, []
        for i in range(first, end):
            x0, eps = trajectory.denoise(x, points[i])
            outputs.append(eps if form == "eps" else x0)
            if points[i].alpha == 0:  # lambda is infinite, and eps alone has lost x0: DDIM's step, which has both
                x = points[i + 1].alpha * x0 + points[i + 1].sigma * eps
            else:
                slopes = _slopes(outputs, points[first : i + 2], solver)
                half = solver == "midpoint" and len(outputs) == 2
                x = taylor(form, x_first, points[first], points[i + 1], outputs[0], *slopes, half=half)
            yield Step(i, points[i].t, x, x0)
        first = max(first, end)


def _groups(points, order, lower_order_final):
    """How many evaluations each group takes. In pure noise and where the noise ends lambda is infinite: one alone."""
    alone = points[0].alpha == 0
    full, left = divmod(len(points) - 1 - alone, order)
    sizes = [1] * alone + [order] * full + [left] * (left > 0)
    if sizes[-1] > 1 and (points[-1].sigma == 0 or (lower_order_final and not left)):
        sizes[-1:] = [sizes[-1] - 1, 1]
    return sizes


def _slopes(outputs, points, solver):
    """Slopes of the prediction at the first point, by the points that have one. All points but the last do.

    One slope is the plain difference. Of two, "midpoint" keeps the one over the longer distance (the paper), and "heun"
    makes D' and D'' of them.
    """
    h = points[-1].lam - points[0].lam
    r = [(point.lam - points[0].lam) / h for point in points[1:-1]]
    slopes = [(output - outputs[0]) / distance for output, distance in zip(outputs[1:], r, strict=True)]
    if len(slopes) < 2 or solver == "midpoint":
        return slopes[-1:]
    bend = (slopes[1] - slopes[0]) / (r[1] - r[0])
    return slopes[0] - r[0] * bend, 2.0 * bend


def taylor(form, x, now, after, D, D1=None, D2=None, half=False, eta=0.0):
    """x at `after`, from x and the prediction's value and slopes at `now`. The formula at the top of this file.

    half   weigh D' by (e^k - 1) / 2, the same to second order
    eta    for "x0": 1 for the mean of the SDE's step in place of the ODE's, as if h were 1 + eta times as long
    """
    h = after.lam - now.lam
    if form == "eps":
        k, scale = h, after.sigma
        x = after.alpha / now.alpha * x - after.alpha * (now.s - after.s) * D  # = scale (e^k - 1) D, where h is infinite too
    else:
        k, scale = -h * (1.0 + eta), after.alpha
        ratio = after.sigma / now.sigma * (math.exp(-h * eta) if eta else 1.0)
        x = ratio * x - scale * math.expm1(k) * D
    if D1 is not None:
        x = x - scale * (0.5 * math.expm1(k) if half else phi2(k)) * D1
    if D2 is not None:
        x = x - scale * phi3(k) * D2
    return x


def phi2(k):
    """(e^k - 1) / k - 1, also at k = 0."""
    return math.expm1(k) / k - 1.0 if k else 0.0


def phi3(k):
    """(e^k - 1 - k) / k^2 - 1/2, also near k = 0, where the digits of the plain formula cancel."""
    if abs(k) < 1e-2:
        return k / 6.0 + k**2 / 24.0 + k**3 / 120.0 + k**4 / 720.0
    return (math.expm1(k) - k) / k**2 - 0.5

"""UniPC: predict the next sample, evaluate the network there, and correct the sample before the next step."""

import math

import numpy as np

from .dpm_solver import GRID, ORDERS
from .dpmpp import PREDICTIONS
from .options import one_of
from .registry import sampler
from .trajectory import Step

PAPER = "UniPC, Zhao et al. 2023 (arXiv:2302.04867)"
SOLVERS = ("bh1", "bh2")


@sampler(order=3, calls=1, paper=f"{PAPER}, sec. 3", default=GRID, uses="interpolates")
def unipc(
    trajectory, order: one_of(ORDERS) = 2, solver: one_of(SOLVERS) = "bh2", interpolates: one_of(PREDICTIONS) = "x0",
    corrector=True, uncorrected=(), lower_order_final=True,
):  # fmt: skip
    """Unified predictor-corrector.   x (B, ...) -> yields Step.   UniP, section 3.2, and UniC, 3.1.

    order              of the predictor, 1 to 3; the corrector makes it one more
    solver             "bh1" or "bh2": B(h) = h or e^h - 1
    interpolates       which prediction: "x0", or "eps"
    corrector          False leaves UniP alone
    uncorrected        steps, counted from 0, whose result is not corrected: with guidance, the first ones may gain
    lower_order_final  come down to order 1 over the last steps
    """
    x, x_before, past, used = trajectory.x, None, [], 0  # past: (point, prediction), newest first
    correctable = interpolates == "x0" and solver == "bh2"  # from pure noise, where h is infinite: B(h) = h is, and eps lost x0
    for i, now, after in trajectory:
        x0, eps = trajectory.denoise(x, now)
        output = x0 if interpolates == "x0" else eps
        if corrector and past and i - 1 not in uncorrected and (past[0][0].alpha > 0 or correctable):
            x = _advance(x_before, past[:used], now, solver, interpolates, arrived=output)
        past = [(now, output), *past[: order - 1]]
        used = len(past)
        if lower_order_final:
            used = min(used, len(trajectory) - i)
        if after.sigma == 0 or after == now:
            used = 1  # lambda is infinite there, or does not move
        x_before = x
        if now.alpha == 0:
            x = after.alpha * x0 + after.sigma * eps  # DDIM's step, the limit of the first order
        else:
            x = _advance(x, past[:used], after, solver, interpolates)
        yield Step(i, now.t, x, x0)


def _advance(x, past, after, solver, form, arrived=None):
    """x at `after`, from x at the newest point of `past`; with `arrived`, the prediction there, the corrected one.

    Predictions at other points enter as slopes D_m = (D_m - D_0) / r_m, weighed so that the step is right for
    polynomials. Section 3.1 (corrector) and 3.2 (predictor).
    """
    now, D0 = past[0]
    h = after.lam - now.lam
    if form == "eps":
        k, scale = h, after.sigma
        x = after.alpha / now.alpha * x - after.alpha * (now.s - after.s) * D0
    else:
        k, scale = -h, after.alpha
        x = after.sigma / now.sigma * x - scale * math.expm1(k) * D0
    r = [(point.lam - now.lam) / h for point, _ in past[1:]]
    slopes = [(D - D0) / r_m for (_, D), r_m in zip(past[1:], r, strict=True)]
    if arrived is not None:
        r, slopes = [*r, 1.0], [*slopes, arrived - D0]
    if not slopes:
        return x
    b = k if solver == "bh1" else math.expm1(k)
    for weight, slope in zip(_weights(r, k, b), slopes, strict=True):
        x = x - scale * b * weight * slope
    return x


def _weights(r, k, b):
    """Solution of the paper's R(r) a = phi(k) / B: a slope's weight. One slope alone takes 1/2, as the paper does.

    The slope from pure noise, at r = -inf, is 0: the others share the weights that they would have without it.
    """
    if len(r) == 1:
        return [0.5]
    finite = [r_m for r_m in r if math.isfinite(r_m)]
    phi, factorial, rows, right = math.expm1(k) / k - 1.0, 1, [], []
    for m in range(len(finite)):
        rows.append([r_m**m for r_m in finite])
        right.append(phi * factorial / b)
        factorial *= m + 2
        phi = phi / k - 1.0 / factorial
    solved = iter(np.linalg.solve(rows, right).tolist())
    return [next(solved) if math.isfinite(r_m) else 0.0 for r_m in r]

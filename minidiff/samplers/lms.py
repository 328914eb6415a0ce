"""Linear multistep: a polynomial through the last slopes, integrated exactly over the step."""

import math

from .euler import EDM, slope
from .options import one_of
from .registry import sampler
from .trajectory import Step


@sampler(order=4, calls=1, paper="Adams and Bashforth 1883, on uneven steps; k-diffusion, sample_lms", **EDM)
def lms(trajectory, order: one_of((1, 2, 3, 4)) = 4):
    """Adams-Bashforth on the noise levels as they are.   x (B, ...) -> yields Step.

    order      how many slopes, 1 to 4; the first steps make do with those there are
    """
    x = trajectory.x / trajectory.first.alpha
    sigmas, ds = [], []  # newest first
    for i, now, after in trajectory:
        x0, _ = trajectory.denoise(now.alpha * x, now)
        sigmas, ds = [now.s, *sigmas[: order - 1]], [slope(x, x0, now.s), *ds[: order - 1]]
        x = x + sum(w * d for w, d in zip(weights(sigmas, now.s, after.s), ds, strict=True))
        yield Step(i, now.t, after.alpha * x, x0)


def weights(nodes, a, b):
    """Integrals from a to b of the Lagrange polynomials of these nodes, at most four of them.   -> list of floats

    Two Gauss-Legendre points integrate a cubic exactly, and a product over nodes loses no digits.
    """
    middle, half = (a + b) / 2, (b - a) / 2
    points = (middle - half / math.sqrt(3), middle + half / math.sqrt(3))
    return [half * sum(math.prod((s - n) / (node - n) for n in nodes if n != node) for s in points) for node in nodes]

"""Linear multistep: a polynomial through the last slopes, integrated exactly over the step."""

import math

from ..names import check_choice
from .euler import KARRAS, slope
from .registry import sampler
from .stepping import READY, Path, Step, scaled


@sampler(order=4, calls=1, paper="Adams and Bashforth 1883, on uneven steps; k-diffusion, sample_lms")
def lms(denoiser, x, steps=50, order=4, rng=None, **stepping):
    """Adams-Bashforth on the noise levels as they are.   x (B, ...) -> yields Step.

    order      how many slopes, 1 to 4; the first steps make do with those there are
    stepping   see `stepping.Path`
    """
    check_choice("order", order, (1, 2, 3, 4))
    path = Path(denoiser, x, steps, rng=rng, grid=KARRAS, uses="x0", **stepping)
    y = scaled(path)
    yield READY
    levels, slopes = [], []  # newest first
    for i, now, after in path:
        x0, _ = path.denoise(now.alpha * y, now)
        levels, slopes = [now.s, *levels[: order - 1]], [slope(y, x0, now.s), *slopes[: order - 1]]
        y = y + sum(w * d for w, d in zip(weights(levels, now.s, after.s), slopes, strict=True))
        yield Step(i, now.t, after.alpha * y, x0)


def weights(nodes, a, b):
    """Integrals from a to b of the Lagrange polynomials of these nodes, at most four of them.   -> list of floats

    Two Gauss-Legendre points integrate a cubic exactly, and a product over nodes loses no digits.
    """
    middle, half = (a + b) / 2, (b - a) / 2
    points = (middle - half / math.sqrt(3), middle + half / math.sqrt(3))
    return [half * sum(math.prod((s - n) / (node - n) for n in nodes if n != node) for s in points) for node in nodes]

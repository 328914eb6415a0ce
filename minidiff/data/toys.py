"""Points in the plane: distributions that can be plotted whole, for the smallest models.

Each function takes n and an rng and returns points float32 (n, 2), within about [-2, 2]^2, and labels int64 (n,)
for the part that a point belongs to.
"""

import numpy as np

from ..rng import as_rng


def moons(n, rng=None, noise=0.08):
    """Two half circles that reach into one another. Labels: 0 the upper one, 1 the lower one."""
    rng = as_rng(rng)
    labels = rng.integers(2, size=n)
    angle = np.pi * rng.random(n, np.float64)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)  # (n, 2)
    points = np.where(labels[:, None] == 0, upper, -upper)  # the lower moon is the upper one turned by half a circle
    return _finish(points + noise * rng.standard_normal((n, 2), np.float64)), labels


def swiss_roll(n, rng=None, noise=0.04):
    """A spiral of one and a half turns. Labels: 0 the inner, 1 the middle, 2 the outer third along the angle."""
    rng = as_rng(rng)
    u = rng.random(n, np.float64)
    angle = 1.5 * np.pi * (1 + 2 * u)
    points = (angle / (2.5 * np.pi))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    return _finish(points + noise * rng.standard_normal((n, 2), np.float64)), np.minimum(3 * u, 2).astype(np.int64)


def checkerboard(n, rng=None):
    """The eight dark squares of a 4 x 4 board over [-2, 2]^2, uniform, with sharp edges. Labels: 0 .. 7, the square."""
    rng = as_rng(rng)
    square = rng.integers(8, size=n)
    row = square // 2
    column = 2 * (square % 2) + row % 2
    corner = np.stack([column - 2.0, row - 2.0], axis=1)  # (n, 2)
    return _finish(corner + rng.random((n, 2), np.float64)), square


def gaussians(n, rng=None, modes=8, std=0.1):
    """A ring of equal Gaussians of radius 1.5. Labels: which one, counted anticlockwise from the right.

    Its exact density is known: means (1.5 cos a, 1.5 sin a) at a = 2 pi k / modes, variance std**2.
    """
    rng = as_rng(rng)
    labels = rng.integers(modes, size=n)
    angle = 2 * np.pi * labels / modes
    centre = 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    return _finish(centre + std * rng.standard_normal((n, 2), np.float64)), labels


TOYS = {"moons": moons, "swiss_roll": swiss_roll, "checkerboard": checkerboard, "gaussians": gaussians}


def _finish(points):
    return points.astype(np.float32)

"""Which entries of x an entry of y depends on, by forward and by backward: what to say of a gradient of no simple pattern."""

from typing import NamedTuple

import numpy as np

OUTPUTS = 12  # entries of y that are looked at, fewer for a large x:
PASSES = 6144  # forward passes, one for each entry of x and each of these entries of y


def coupling(slope, pull, x, y, name="x"):
    """The first thing that is wrong with how back connects y to x.   -> a sentence, or None

    slope(dy) -> the right gradient of x     pull(dy) -> back's     x, y: NumPy arrays of any shape     name: of x
    """
    if not 0 < x.size <= PASSES or y.size == 0:
        return None
    if np.any(pull(np.zeros(y.shape))):
        return "back(0) is not 0: dy is not a factor of every term"
    places = _places(y, min(OUTPUTS, y.size, PASSES // x.size))
    rows = [Row(place, *_row(slope, pull, place, y.shape)) for place in places]
    for row in rows:
        if (row.depends & ~row.gets).any():
            return _lost(row, name)
    for row in rows:
        if (row.gets & ~row.depends).any():
            stray = _at(name, np.argwhere(row.gets & ~row.depends)[0])
            return f"{_at('y', row.place)} does not depend on {stray}, and back carries its gradient there"
    worst = max(rows, key=lambda row: float(np.abs(row.right - row.got).max()))
    where = tuple(np.unravel_index(np.abs(worst.right - worst.got).argmax(), x.shape))
    slopes = f"the slope is {worst.right[where]:.6g}, and back multiplies dy by {worst.got[where]:.6g}"
    if all(row.depends.sum() <= 1 for row in rows):
        at = f"At {name} = {x[where]:.6g}, y = {y[worst.place]:.6g}"
        return f"{_at('y', worst.place)} depends on {_at(name, where)} alone. {at} {slopes}: the formula of the slope"
    return f"back reaches the right entries with wrong factors. From {_at('y', worst.place)} to {_at(name, where)} {slopes}"


class Row(NamedTuple):
    """One entry of y: its right gradient and back's, and which entries of x they reach."""

    place: tuple
    right: np.ndarray
    got: np.ndarray
    depends: np.ndarray
    gets: np.ndarray


def _places(y, count):
    """Some entries of y, spread over it."""
    if not y.ndim:
        return [()]
    chosen = np.linspace(0, y.size - 1, count).astype(int)
    return list(zip(*np.unravel_index(chosen, y.shape), strict=True))


def _row(slope, pull, place, shape):
    dy = np.zeros(shape)
    dy[place] = 1.0
    right, got = slope(dy), pull(dy)
    scale = 1e-6 * max(float(np.abs(right).max()), float(np.abs(got).max()), 1e-300)
    return right, got, np.abs(right) > scale, np.abs(got) > scale


def _lost(row, name):
    count, kept = int(row.depends.sum()), int((row.depends & row.gets).sum())
    where = _at(name, np.argwhere(row.depends & ~row.gets)[0])
    if count == 1:
        return f"{_at('y', row.place)} depends on {where}, and back does not carry its gradient there"
    return (
        f"{_at('y', row.place)} depends on {count} entries of {name}, and back carries its gradient to {kept or 'none'} of "
        f"them, not to {where}: a term is missing (through a mean, a deviation, the other entries of a row)"
    )


def _at(name, place):
    return f"{name}[{', '.join(str(int(k)) for k in place)}]" if len(place) else name

"""Which entries of x an entry of y depends on, by forward and by backward: what to say of a gradient of no simple pattern."""

from typing import NamedTuple

import numpy as np

ENTRIES = 256  # entries of x that are looked at, each of which costs a forward pass
OUTPUTS = 12  # entries of y that are looked at, each of which costs a backward pass


class Row(NamedTuple):
    """One entry of y: its right slopes by some entries of x and back's, and which of them are not 0."""

    place: tuple
    right: np.ndarray
    got: np.ndarray
    depends: np.ndarray
    gets: np.ndarray


def coupling(along, pull, x, y, name="x"):
    """The first thing that is wrong with how back connects y to x.   -> a sentence, or None

    along(r) -> the slope of y along r, of y's shape     pull(dy) -> back's gradient of x
    x, y: NumPy arrays of any shape     name: of x, for the sentence
    """
    if x.size == 0 or y.size == 0:
        return None
    if np.any(pull(np.zeros(y.shape))):
        return "back(0) is not 0: dy is not a factor of every term"
    entries, outputs = _spread(x, ENTRIES), _spread(y, OUTPUTS)
    slopes = np.stack([np.asarray(along(_unit(x.shape, entry))) for entry in entries])
    rows = []
    for place in outputs:
        got = pull(_unit(y.shape, place))
        right, got = slopes[(slice(None), *place)], np.array([got[entry] for entry in entries])
        scale = 1e-6 * max(float(np.abs(right).max()), float(np.abs(got).max()), 1e-300)
        rows.append(Row(place, right, got, np.abs(right) > scale, np.abs(got) > scale))
    for row in rows:
        if (row.depends & ~row.gets).any():
            return _lost(row, entries, name)
    for row in rows:
        if (row.gets & ~row.depends).any():
            stray = _at(name, entries[int((row.gets & ~row.depends).argmax())])
            return f"{_at('y', row.place)} does not depend on {stray}, and back carries its gradient there"
    worst = max(rows, key=lambda row: float(np.abs(row.right - row.got).max()))
    number = int(np.abs(worst.right - worst.got).argmax())
    where = entries[number]
    slope = f"the slope is {worst.right[number]:.6g}, and back multiplies dy by {worst.got[number]:.6g}"
    if all(row.depends.sum() <= 1 for row in rows):
        at = f"At {name} = {x[where]:.6g}, y = {y[worst.place]:.6g}"
        return f"{_at('y', worst.place)} depends on {_at(name, where)} alone. {at} {slope}: the formula of the slope"
    return f"back reaches the right entries with wrong factors. From {_at('y', worst.place)} to {_at(name, where)} {slope}"


def _spread(array, count):
    """The places of some entries of an array, spread over it; of all where there are no more than `count`."""
    if not array.ndim:
        return [()]
    chosen = np.linspace(0, array.size - 1, min(count, array.size)).astype(int)
    return [tuple(map(int, place)) for place in zip(*np.unravel_index(chosen, array.shape), strict=True)]


def _unit(shape, place):
    made = np.zeros(shape)
    made[place] = 1.0
    return made


def _lost(row, entries, name):
    count, kept = int(row.depends.sum()), int((row.depends & row.gets).sum())
    where = _at(name, entries[int((row.depends & ~row.gets).argmax())])
    if count == 1:
        return f"{_at('y', row.place)} depends on {where}, and back does not carry its gradient there"
    return (
        f"{_at('y', row.place)} depends on {count} entries of {name}, and back carries its gradient to {kept or 'none'} of "
        f"them, not to {where}: a term is missing (through a mean, a deviation, the other entries of a row)"
    )


def _at(name, place):
    return f"{name}[{', '.join(str(int(k)) for k in place)}]" if len(place) else name

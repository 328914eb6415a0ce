"""A batch taken apart by rows and put together again: arrays, and tuples, lists and dicts of them."""

import numpy as np


class NotByRows(ValueError):
    """An array has not one row for each example of the batch."""


def rows_of(thing, rows, total):
    """These rows (a slice) of every array in thing; what is no array stays as it is.

    Raises NotByRows for an array that is not NumPy's or has not `total` rows.
    """
    if getattr(thing, "ndim", 0):
        if not isinstance(thing, np.ndarray) or len(thing) != total:
            raise NotByRows(f"got a {type(thing).__name__} of shape {thing.shape}, expected a NumPy array of {total} rows")
        return thing[rows]
    return _like(thing, [rows_of(part, rows, total) for part in _parts(thing)])


def joined(things, parts):
    """The inverse: things of one structure, one for each slice of `parts`, their arrays one below the other.

    Raises ValueError for an array that has not as many rows as its slice.
    """
    first = things[0]
    if isinstance(first, np.ndarray):
        for array, part in zip(things, parts, strict=True):
            n = part.stop - part.start
            if array.shape[:1] != (n,):
                raise ValueError(f"the module gave an array of shape {array.shape} for {n} examples, expected {n} rows")
        return np.concatenate(things)
    return _like(first, [joined(each, parts) for each in zip(*map(_parts, things), strict=True)])


class RowsOfRng:
    """These rows of what `rng` draws for a whole batch: dropout drops the same numbers however the batch is shared."""

    def __init__(self, rng, rows, total):
        self.rng, self.rows, self.total = rng, rows, total

    def random(self, size, dtype="float32"):
        return self.rng.random((self.total, *size[1:]), dtype=dtype)[self.rows]


def _parts(thing):
    if isinstance(thing, dict):
        return list(thing.values())
    return list(thing) if isinstance(thing, (tuple, list)) else []


def _like(thing, parts):
    """`thing` with other parts."""
    if isinstance(thing, dict):
        return dict(zip(thing, parts, strict=True))
    if isinstance(thing, (tuple, list)):
        return type(thing)(*parts) if hasattr(thing, "_fields") else type(thing)(parts)
    return thing

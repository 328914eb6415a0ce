"""Calling a function that is under test, and errors that say what it returned in place of what was expected."""

import sys

import numpy as np

from ..backend import to_numpy


class MessageAlone(AssertionError):
    """An error that Jupyter shows as its message, without the frames of the checker that found it."""

    def _render_traceback_(self):
        """What IPython prints in place of a traceback.   -> list of lines"""
        return [f"{type(self).__name__}: {self}"]


class GradientError(MessageAlone):
    """A backward pass that does not fit its forward pass; the message says where and what it may be."""


class read_only:  # noqa: N801  (used like a function)
    """Inside, these NumPy arrays cannot be written to."""

    def __init__(self, arrays):
        arrays = [a for a in arrays if isinstance(a, np.ndarray) and a.flags.writeable]
        self.arrays = sorted(arrays, key=lambda a: a.base is not None)  # a view can be written to after its base can

    def __enter__(self):
        for a in self.arrays:
            a.flags.writeable = False

    def __exit__(self, *_):
        for a in self.arrays:
            a.flags.writeable = True


def call(f, arrays):
    answer = run(lambda: f(*arrays), None, "the forward pass")
    if not (isinstance(answer, tuple) and len(answer) == 2 and callable(answer[1])):
        raise TypeError(
            f"f: got {kind_of(answer)}, expected y, back = f(*arrays): an array and the function that carries its gradient back"
        )
    return number(answer[0]), answer[1]


def check_library(name, array):
    """Raise TypeError for an array of a library that does not have NumPy's names."""
    library = type(array).__module__.partition(".")[0]
    if hasattr(array, "dtype") and not hasattr(sys.modules.get(library), "ndarray"):
        kind = f"{library}.{type(array).__name__}"
        raise TypeError(f"{name}: got a {kind}, expected a NumPy or CuPy array (for torch: x.detach().numpy())")


def array_of(grad, name):
    """A gradient as an array; a plain number is one of shape ()."""
    if isinstance(grad, (int, float)):
        return np.asarray(float(grad))
    if not hasattr(grad, "shape") or not hasattr(grad, "dtype"):
        raise GradientError(f"{name}: its gradient is {kind_of(grad)}, expected an array of the argument's shape")
    check_library(f"{name}: its gradient", grad)
    return grad


def kind_of(thing):
    return "None" if thing is None else f"a {type(thing).__name__}"


def inner(a, b):
    """sum(a b), of arrays or plain numbers."""
    product = a * b
    return float(product.sum() if hasattr(product, "sum") else product)


def run(function, dy, what):
    try:
        return function() if dy is None else function(dy)
    except ValueError as error:
        if "read-only" in str(error):
            raise GradientError(f"{what} writes into its inputs or into dy; it may read them only") from error
        raise


def as_list(grads, expected):
    if grads is None and expected == 0:  # only integers came in: nothing to carry back
        return []
    if grads is None:
        raise GradientError(f"back returned None, expected {expected} gradients, in the order of the arguments: no `return`?")
    grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
    if len(grads) != expected:
        raise GradientError(f"back returned {len(grads)} gradients for {expected} float arguments: one each, in their order")
    return grads


def forward(f, *arrays):
    answer = f(*arrays)
    return number(answer[0] if isinstance(answer, tuple) else answer)


def number(y):
    """The answer of a forward pass; a plain number, such as a loss, becomes an array of shape ()."""
    if isinstance(y, (int, float)):
        return np.asarray(float(y))
    if not hasattr(y, "shape") or not hasattr(y, "dtype"):
        raise TypeError(f"f: its y is {kind_of(y)}, expected one array or a number")
    check_library("f: its y", y)
    return y


def same(a, b):
    return bool(np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True))


def norm(a):
    return inner(a, a) ** 0.5


def typical_size(grad):
    """How large a derivative along a random unit direction typically is."""
    return float((grad * grad).sum() / grad.size) ** 0.5

"""Is this backward pass right?  Ask the forward pass.

    check(f, *arrays)              y, back = f(*arrays): does back agree with the slope of f?
    check_layer(layer, *arrays)    the same, and every Param of the layer
    numerical_grad(f, x, dy)       the slope entry by entry: slow, plain, and it tells which entry is wrong

The idea: pick a random dy and a random unit direction r, one for each argument. Then the two numbers

    sum(dx * r)      and      sum(dy * (y(x + h r) - y(x - h r))) / 2 h

are the same derivative, the first by your backward pass, the second by two forward passes. dy is random because
dy = 1 hides bugs: the sum of a normalised row is constant, so its gradient is 0 however wrong the backward is.
A check proves that backward fits forward, no more: forward itself needs numbers from outside.
"""

import copy
import sys

import numpy as np

from .backend import to_numpy, xp_of
from .complex_step import jvp as jvp
from .gradcheck_diagnosis import diagnose, kink, near
from .rng import Rng

SEED = 0x9E3779B9  # of its own: a dy drawn from the seed that drew x hides bugs in normalisation


class GradientError(AssertionError):
    """A backward pass that does not fit its forward pass; the message says where and what it may be."""


def check(f, *arrays, h=1e-5, tolerance=1e-6, seed=SEED):
    """Check `y, back = f(*arrays)`.   arrays: float64, any shapes; integer arrays and None pass through unchecked.

    -> {argument number: relative error}.   Raises GradientError with a diagnosis; TypeError for other dtypes and for arrays
    of a library without NumPy's names (torch). y is an array or a plain number, such as a loss.
    `back` must return one gradient for each float argument, in order (the bare array when there is one), of its
    shape and dtype; change neither inputs nor dy; say the same when called twice; and not depend on later calls of f.
    """
    names = [f"argument {i}" for i in range(len(arrays))]
    return _check(f, list(arrays), names, h, tolerance, seed)


def check_layer(layer, *arrays, h=1e-5, tolerance=1e-6, seed=SEED):
    """Check a layer's inputs and every Param, on a float64 copy of it.   -> {argument number or Param path: error}"""
    layer, arrays = copy.deepcopy(layer).astype(np.float64), list(arrays)
    errors = _check(layer, arrays, [f"argument {i}" for i in range(len(arrays))], h, tolerance, seed)
    errors.update(_check_params(layer, arrays, h, tolerance, seed + 1))
    return errors


def numerical_grad(f, x, dy, h=1e-5):
    """dLoss/dx entry by entry, where dLoss/dy = dy.   f(x) -> y or (y, back)   x float64   dy of y's shape   -> x's shape

    Two forward passes for each entry: for small arrays, and for reading.
    """
    dx = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        dx[index] = _inner(dy, _forward(f, up) - _forward(f, down)) / (2 * h)
    return dx


# ---- the check itself ----------------------------------------------------------------------------------------------------


def _check(f, arrays, names, h, tolerance, seed):
    for name, array in zip(names, arrays, strict=True):
        _check_library(name, array)
    checked = [i for i, a in enumerate(arrays) if getattr(getattr(a, "dtype", None), "kind", None) == "f"]
    for i in checked:
        if arrays[i].dtype != np.float64:
            raise TypeError(f"{names[i]} is {arrays[i].dtype}; a gradient is checked in float64 (x.astype('float64'))")
    rng = Rng(seed)
    with _read_only([arrays[i] for i in checked]):
        y, back = _call(f, arrays)
        dy = xp_of(y).asarray(rng.standard_normal(y.shape, dtype=np.float64))
        with _read_only([dy]):
            grads = _as_list(_run(back, dy, "back(dy)"), len(checked))
            grads = [_array(grad, names[i]) for i, grad in zip(checked, grads, strict=True)]
            first = [g.copy() for g in grads]
            _call(f, [a + 0.1 if i in checked else a for i, a in enumerate(arrays)])  # another forward in between
            again = [
                _array(g, "back(dy), called again") for g in _as_list(_run(back, dy, "back(dy), called again"), len(checked))
            ]
    errors = {}
    for i, grad, kept, second in zip(checked, grads, first, again, strict=True):
        x = arrays[i]
        if grad.shape != x.shape or grad.dtype != x.dtype:
            raise GradientError(f"{names[i]}: its gradient is {grad.shape} {grad.dtype}, expected {x.shape} {x.dtype}")
        if not _same(kept, second):
            raise GradientError(
                f"{names[i]}: back(dy) gave another answer after f was called again. Something is kept outside the "
                "closure (self.cache?), or back changes what it captured."
            )

        def at(value, i=i):
            return _forward(f, *[value if j == i else a for j, a in enumerate(arrays)])

        errors[i] = _compare(at, x, kept, dy, names[i], h, tolerance, rng)
    return errors


def _check_params(layer, arrays, h, tolerance, seed):
    rng, params, errors = Rng(seed), layer.parameters(), {}
    y, back = _call(layer, arrays)
    dy = xp_of(y).asarray(rng.standard_normal(y.shape, dtype=np.float64))
    before = {path: xp_of(p.value).asarray(rng.standard_normal(p.shape, dtype=np.float64)) for path, p in params.items()}
    for path, param in params.items():
        param.grad[...] = before[path]  # not zero, so that `p.grad = g` in place of `p.grad += g` shows
    back(dy)
    for path, param in params.items():
        x, kept = param.value, param.value.copy()

        def at(value, x=x, kept=kept):
            x[...] = value
            try:
                return _forward(layer, *arrays)
            finally:
                x[...] = kept

        errors[path] = _compare(at, kept, param.grad - before[path], dy, path, h, tolerance, rng, assigned=param.grad)
    return errors


def _compare(at, x, grad, dy, name, h, tolerance, rng, assigned=None):
    """Relative error of sum(grad * r) against the slope of `at` along one random unit direction r; raises if too large."""
    if x.size == 0:
        return 0.0
    r = xp_of(x).asarray(rng.standard_normal(x.shape, dtype=np.float64))
    r /= float((r * r).sum()) ** 0.5
    by_back = float((grad * r).sum())
    up, down = at(x + h * r), at(x - h * r)
    by_slope = _inner(dy, up - down) / (2 * h)
    # a derivative along a random direction is typically this large: a chance zero is not an error of 100 %
    typical = float((grad * grad).sum() / grad.size) ** 0.5
    # and rounding alone makes this much slope, so a gradient that is truly 0 (a key's bias in attention) is no error
    rounding = 100 * np.finfo(np.float64).eps * _inner(dy * up, dy * up) ** 0.5 / h
    floor = abs(by_back) + typical + rounding / tolerance + 1e-300
    error = float(abs(by_back - by_slope) / (floor + abs(by_slope)))
    if not error <= tolerance:  # the quotient's own error falls with h squared: take that term away before blaming backward
        half = _inner(dy, at(x + h / 2 * r) - at(x - h / 2 * r)) / h
        refined = (4 * half - by_slope) / 3  # Richardson's extrapolation
        error = min(error, float(abs(by_back - refined) / (floor + abs(refined))))
    if not error <= tolerance:  # a NaN is not
        raise GradientError(_explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned, r))
    return error


# ---- saying what is wrong ------------------------------------------------------------------------------------------------


def _explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned, r):
    lines = [
        f"{name} {tuple(x.shape)}: relative error {error:.1e} along a random direction, above {tolerance:.0e}",
        f"  backward says {by_back:+.9g}, the forward's slope is {by_slope:+.9g}",
    ]
    once, twice = at(x), at(x)
    if not _same(once, twice):
        gap = float(abs(to_numpy(twice - once)).max())
        cause = f"f is not deterministic: two calls on the same arguments differ by up to {gap:.3g}"
        return "\n".join([*lines, f"  {cause}. Draw random numbers (a dropout mask) before the check, not in f"])
    typical = abs(by_back) + abs(by_slope) + float((grad * grad).sum() / grad.size) ** 0.5
    bend = kink(lambda value: _inner(dy, at(value)), x, r, h, by_back, typical)
    if bend:
        lines.append(f"  usual cause: {bend}")
    elif x.size <= 4096 and xp_of(x) is np:
        true = numerical_grad(at, x, dy, h)
        gap = np.abs(grad - true)
        worst = tuple(int(k) for k in np.unravel_index(np.nanargmax(gap) if np.isfinite(gap).any() else 0, x.shape))
        lines.append(f"  worst entry {worst}: backward {grad[worst]:+.9g}, slope {true[worst]:+.9g}")
        if assigned is not None and near(assigned, true):
            lines.append("  usual cause: the gradient is assigned (p.grad = g), it must be added (p.grad += g)")
        else:
            lines += [f"  usual cause: {cause}" for cause in diagnose(grad, true, x, dy.shape[0] if dy.ndim else 1)]
    return "\n".join(lines)


# ---- small parts -----------------------------------------------------------------------------------------------------------


class _read_only:  # noqa: N801  (used like a function)
    """Inside, these NumPy arrays cannot be written to."""

    def __init__(self, arrays):
        self.arrays = [a for a in arrays if isinstance(a, np.ndarray) and a.flags.writeable]

    def __enter__(self):
        for a in self.arrays:
            a.flags.writeable = False

    def __exit__(self, *_):
        for a in self.arrays:
            a.flags.writeable = True


def _call(f, arrays):
    answer = _run(lambda: f(*arrays), None, "the forward pass")
    if not (isinstance(answer, tuple) and len(answer) == 2 and callable(answer[1])):
        raise TypeError(
            f"f: got {_kind(answer)}, expected y, back = f(*arrays): an array and the function that carries its gradient back"
        )
    return _number(answer[0]), answer[1]


def _check_library(name, array):
    """Raise TypeError for an array of a library that does not have NumPy's names."""
    library = type(array).__module__.partition(".")[0]
    if hasattr(array, "dtype") and not hasattr(sys.modules.get(library), "ndarray"):
        kind = f"{library}.{type(array).__name__}"
        raise TypeError(f"{name}: got a {kind}, expected a NumPy or CuPy array (for torch: x.detach().numpy())")


def _array(grad, name):
    """A gradient as an array; a plain number is one of shape ()."""
    if isinstance(grad, (int, float)):
        return np.asarray(float(grad))
    if not hasattr(grad, "shape") or not hasattr(grad, "dtype"):
        raise GradientError(f"{name}: its gradient is {_kind(grad)}, expected an array of the argument's shape")
    _check_library(f"{name}: its gradient", grad)
    return grad


def _kind(thing):
    return "None" if thing is None else f"a {type(thing).__name__}"


def _inner(a, b):
    """sum(a b), of arrays or plain numbers."""
    product = a * b
    return float(product.sum() if hasattr(product, "sum") else product)


def _run(function, dy, what):
    try:
        return function() if dy is None else function(dy)
    except ValueError as error:
        if "read-only" in str(error):
            raise GradientError(f"{what} writes into its inputs or into dy; it may read them only") from error
        raise


def _as_list(grads, expected):
    if grads is None and expected == 0:  # only integers came in: nothing to carry back
        return []
    if grads is None:
        raise GradientError(f"back returned None, expected {expected} gradients, in the order of the arguments: no `return`?")
    grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
    if len(grads) != expected:
        raise GradientError(f"back returned {len(grads)} gradients for {expected} float arguments: one each, in their order")
    return grads


def _forward(f, *arrays):
    answer = f(*arrays)
    return _number(answer[0] if isinstance(answer, tuple) else answer)


def _number(y):
    """The answer of a forward pass; a plain number, such as a loss, becomes an array of shape ()."""
    if isinstance(y, (int, float)):
        return np.asarray(float(y))
    if not hasattr(y, "shape") or not hasattr(y, "dtype"):
        raise TypeError(f"f: its y is {_kind(y)}, expected one array or a number")
    _check_library("f: its y", y)
    return y


def _same(a, b):
    return bool(np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True))

"""Is this backward pass right?  Ask the forward pass.

    check(f, *arrays)              y, back = f(*arrays): does back agree with the slope of f?
    check_layer(layer, *arrays)    the same, and every Param of the layer
    jvp(f, arrays, tangents)       y and its exact derivative along the tangents
    numerical_grad(f, x, dy)       the slope entry by entry: slow, plain, and it tells which entry is wrong

The idea: pick a random dy and a random unit direction r, one for each argument. Then the two numbers

    sum(dx * r)      and      sum(dy * slope of y along r)

are the same derivative, the first by your backward pass, the second by forward passes. dy is random because
dy = 1 hides bugs: the sum of a normalised row is constant, so its gradient is 0 however wrong the backward is.
A check proves that backward fits forward, no more: forward itself needs numbers from outside.

The slope comes from one forward pass in complex numbers where f takes them: y(x + i h r).imag / h, exact to rounding. The two
numbers then agree to about 1e-15. Elsewhere it is (y(x + h r) - y(x - h r)) / 2 h, a difference, which loses digits.
"""

import copy
import sys
from typing import NamedTuple

import numpy as np

from .backend import to_numpy, xp_of
from .complex_step import jvp, one_by_one
from .gradcheck_diagnosis import diagnose, kink, near
from .rng import Rng

METHODS = ("auto", "complex", "difference")
TOLERANCE = {"complex": 1e-12, "difference": 1e-6}  # where the caller gives none
SEED = 0x9E3779B9  # of its own: a dy drawn from the seed that drew x hides bugs in normalisation


class GradientError(AssertionError):
    """A backward pass that does not fit its forward pass; the message says where and what it may be."""


class Error(float):
    """A relative error, with the method that gave the slope, "complex" or "difference", and why it was not the complex step."""

    def __new__(cls, value, method="difference", why=""):
        error = super().__new__(cls, value)
        error.method, error.why = method, why
        return error


def check(f, *arrays, h=1e-5, tolerance=None, seed=SEED, method="auto"):
    """Check `y, back = f(*arrays)`.   arrays: float64, any shapes; integer arrays and None pass through unchecked.

    method     "complex": one forward pass in complex numbers, through the plain ops; "difference": central differences of
               step h; "auto": the complex step, and differences where f cannot take complex numbers or is not analytic
    tolerance  None: 1e-12 for a complex step, 1e-6 for a difference
    ->         {argument number: relative error}, floats that know their .method, and .why it is no complex step

    Raises GradientError with a diagnosis; TypeError for other dtypes and for arrays of a library without NumPy's names (torch).
    y is an array or a plain number, such as a loss. `back` must return one gradient for each float argument, in order (the bare
    array when there is one), of its shape and dtype; change neither inputs nor dy; say the same when called twice; and not
    depend on later calls of f.
    """
    return _check(f, list(arrays), _Options(h, tolerance, method), seed)


def check_layer(layer, *arrays, h=1e-5, tolerance=None, seed=SEED, method="auto"):
    """Check a layer's inputs and every Param, on a float64 copy of it.   -> {argument number or Param path: error}

    The options are those of `check`.
    """
    layer, arrays, options = copy.deepcopy(layer).astype(np.float64), list(arrays), _Options(h, tolerance, method)
    errors = _check(layer, arrays, options, seed)
    errors.update(_check_params(layer, arrays, options, seed + 1))
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


class _Options(NamedTuple):
    """The step of a difference, the caller's tolerance or None, and the method."""

    h: float
    tolerance: float | None
    method: str

    def checked(self):
        if self.method not in METHODS:
            raise ValueError(f"method: got {self.method!r}, expected one of {', '.join(METHODS)}")
        return self

    def allowed(self, method):
        """The largest error that passes."""
        return TOLERANCE[method] if self.tolerance is None else self.tolerance


def _check(f, arrays, options, seed):
    options.checked()
    names = [f"argument {i}" for i in range(len(arrays))]
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

    def along(directions):
        return jvp(f, arrays, [directions.get(i, xp_of(arrays[i]).zeros_like(arrays[i])) if i in checked else None
                               for i in range(len(arrays))])[1]  # fmt: skip

    def moved(directions, h):
        return _forward(f, *[a + h * directions[i] if i in directions else a for i, a in enumerate(arrays)])

    why = _why_difference(along, moved, {i: arrays[i] for i in checked}, y, options, seed)
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

        exact = None if why else lambda r, i=i: along({i: r})
        errors[i] = _compare(at, x, kept, dy, names[i], options, _direction(rng, x), exact, why, y)
    return errors


def _check_params(layer, arrays, options, seed):
    rng, params, errors = Rng(seed), layer.parameters(), {}
    y, back = _call(layer, arrays)
    dy = xp_of(y).asarray(rng.standard_normal(y.shape, dtype=np.float64))
    before = {path: xp_of(p.value).asarray(rng.standard_normal(p.shape, dtype=np.float64)) for path, p in params.items()}
    for path, param in params.items():
        param.grad[...] = before[path]  # not zero, so that `p.grad = g` in place of `p.grad += g` shows
    back(dy)
    still = [xp_of(a).zeros_like(a) if getattr(getattr(a, "dtype", None), "kind", None) == "f" else None for a in arrays]

    def along(directions):
        return jvp(layer, arrays, still, directions)[1]

    def moved(directions, h):
        kept = {path: params[path].value.copy() for path in directions}
        for path, r in directions.items():
            params[path].value[...] = kept[path] + h * r
        try:
            return _forward(layer, *arrays)
        finally:
            for path, value in kept.items():
                params[path].value[...] = value

    why = _why_difference(along, moved, {path: p.value for path, p in params.items()}, y, options, seed)
    directions = {path: _direction(rng, p.value) for path, p in params.items() if p.value.size}
    slopes = one_by_one(layer, arrays, params, {} if why else directions)
    for path, param in params.items():
        x, kept = param.value, param.value.copy()

        def at(value, x=x, kept=kept):
            x[...] = value
            try:
                return _forward(layer, *arrays)
            finally:
                x[...] = kept

        exact = None if why else lambda r, path=path: along({path: r})
        slope = next(slopes)[1] if exact and path in directions else None
        grad, r = param.grad - before[path], directions.get(path)
        errors[path] = _compare(at, kept, grad, dy, path, options, r, exact, why, y, slope, assigned=param.grad)
    return errors


def _why_difference(along, moved, points, y, options, seed):
    """Why the slope cannot come from a complex step, or "" where it can.   points {key: array}, all moved at once

    along(directions) -> the slope by a complex step     moved(directions, h) -> y at the points + h directions
    Where f takes complex numbers, the two methods are compared once: abs, conj or var in f would give another slope, no error.
    """
    points = {key: x for key, x in points.items() if x.size}
    if options.method != "auto" or not points:
        return "asked for" if options.method == "difference" else ""
    rng, h = Rng(seed + 2), options.h
    directions = {key: _direction(rng, x) for key, x in points.items()}
    try:
        by_step = along(directions)
    except Exception as error:
        return f"{type(error).__name__}: {error}"

    def slope(h):
        return (moved(directions, h) - moved(directions, -h)) / (2 * h)

    def apart(a):
        seen = 1e-5 * (_norm(a) + _norm(by_step)) + 100 * np.finfo(np.float64).eps * _norm(y) / h
        return not _norm(a - by_step) <= seen

    by_difference = slope(h)
    if apart(by_difference) and apart((4 * slope(h / 2) - by_difference) / 3):
        return f"not analytic (abs, conj, var), or a kink within {h:.0e}: the complex step and a difference give other slopes"
    return ""


def _compare(at, x, grad, dy, name, options, r, exact, why, y, slope=None, assigned=None):
    """Relative error of sum(grad * r) against the slope along the random unit direction r; raises if too large.

    at(x) -> y     exact(r) -> the slope by a complex step; None where there is none, for the reason `why`
    slope  exact(r), where it is known already
    """
    if x.size == 0:
        return Error(0.0, "complex" if exact else "difference", why)
    by_back = float((grad * r).sum())
    if exact is None:
        (error, by_slope), tolerance = _difference_error(at, x, grad, dy, options, r), options.allowed("difference")
        if not error <= tolerance:  # a NaN is not
            text = _explain(at, x, grad, dy, name, options.h, error, tolerance, by_back, by_slope, assigned, r)
            raise GradientError(text)
        return Error(error, "difference", why)
    by_slope, tolerance = _inner(dy, exact(r) if slope is None else slope), options.allowed("complex")
    floor = abs(by_back) + _typical(grad) + 100 * np.finfo(np.float64).eps * _norm(dy * y) / tolerance + 1e-300
    error = float(abs(by_back - by_slope) / (floor + abs(by_slope)))
    if error <= tolerance:
        return Error(error, "complex")
    if options.method == "auto" and error > 1e-5:  # is this argument the one along which f is not analytic?
        by_difference = _difference_error(at, x, grad, dy, options, r)[0]
        if by_difference <= TOLERANCE["difference"]:
            why = "not analytic (abs, conj, var): the complex step gives another slope than a difference"
            return Error(by_difference, "difference", why)
    raise GradientError(_explain(at, x, grad, dy, name, options.h, error, tolerance, by_back, by_slope, assigned, r, exact))


def _difference_error(at, x, grad, dy, options, r):
    """(relative error of sum(grad * r), slope along r) by central differences."""
    h, tolerance, by_back = options.h, options.allowed("difference"), float((grad * r).sum())
    up, down = at(x + h * r), at(x - h * r)
    by_slope = _inner(dy, up - down) / (2 * h)
    # a derivative along a random direction is typically this large: a chance zero is not an error of 100 %
    typical = _typical(grad)
    # and rounding alone makes this much slope, so a gradient that is truly 0 (a key's bias in attention) is no error
    rounding = 100 * np.finfo(np.float64).eps * _norm(dy * up) / h
    floor = abs(by_back) + typical + rounding / tolerance + 1e-300
    error = float(abs(by_back - by_slope) / (floor + abs(by_slope)))
    if not error <= tolerance:  # the quotient's own error falls with h squared: take that term away before blaming backward
        half = _inner(dy, at(x + h / 2 * r) - at(x - h / 2 * r)) / h
        refined = (4 * half - by_slope) / 3  # Richardson's extrapolation
        error = min(error, float(abs(by_back - refined) / (floor + abs(refined))))
    return error, by_slope


def _direction(rng, x):
    """A random unit direction of x's shape."""
    r = xp_of(x).asarray(rng.standard_normal(x.shape, dtype=np.float64))
    r /= max(float((r * r).sum()) ** 0.5, 1e-300)
    return r


def _typical(grad):
    """How large a derivative along a random unit direction typically is."""
    return float((grad * grad).sum() / grad.size) ** 0.5


def _norm(a):
    return _inner(a, a) ** 0.5


# ---- saying what is wrong ------------------------------------------------------------------------------------------------


def _explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned, r, exact=None):
    digits = 9 if exact is None else 15
    lines = [
        f"{name} {tuple(x.shape)}: relative error {error:.1e} along a random direction, above {tolerance:.0e}",
        f"  backward says {by_back:+.{digits}g}, the forward's slope is {by_slope:+.{digits}g}",
    ]
    once, twice = at(x), at(x)
    if not _same(once, twice):
        gap = float(abs(to_numpy(twice - once)).max())
        cause = f"f is not deterministic: two calls on the same arguments differ by up to {gap:.3g}"
        return "\n".join([*lines, f"  {cause}. Draw random numbers (a dropout mask) before the check, not in f"])
    typical = abs(by_back) + abs(by_slope) + _typical(grad)
    bend = kink(lambda value: _inner(dy, at(value)), x, r, h, by_back, typical)
    if bend:
        lines.append(f"  usual cause: {bend}")
    elif x.size <= 4096 and xp_of(x) is np:
        true = numerical_grad(at, x, dy, h) if exact is None else _exact_grad(exact, x, dy)
        gap = np.abs(grad - true)
        worst = tuple(int(k) for k in np.unravel_index(np.nanargmax(gap) if np.isfinite(gap).any() else 0, x.shape))
        lines.append(f"  worst entry {worst}: backward {grad[worst]:+.{digits}g}, slope {true[worst]:+.{digits}g}")
        if assigned is not None and near(assigned, true):
            lines.append("  usual cause: the gradient is assigned (p.grad = g), it must be added (p.grad += g)")
        else:
            lines += [f"  usual cause: {cause}" for cause in diagnose(grad, true, x, dy.shape[0] if dy.ndim else 1)]
    return "\n".join(lines)


def _exact_grad(exact, x, dy):
    """`numerical_grad` by complex steps: exact to rounding, one forward pass for each entry."""
    true = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        r = np.zeros(x.shape)
        r[index] = 1.0
        true[index] = _inner(dy, exact(r))
    return true


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

"""The identity <dy, J v> = <J^T dy, v>, for every argument of a function and every Param of a layer."""

from typing import NamedTuple

import numpy as np

from ..backend import xp_of
from ..complex_step import jvp, one_by_one
from ..rng import Rng
from .calls import (
    GradientError,
    array_of,
    as_list,
    call,
    check_library,
    forward,
    inner,
    norm,
    read_only,
    run,
    same,
    typical_size,
)
from .diagnosis import explain

METHODS = ("auto", "complex", "difference")
TOLERANCE = {"complex": 1e-12, "difference": 1e-6}  # where the caller gives none


class Error(float):
    """A relative error, with the method that gave the slope, "complex" or "difference", and why it was not the complex step."""

    def __new__(cls, value, method="difference", why=""):
        error = super().__new__(cls, value)
        error.method, error.why = method, why
        return error


class Options(NamedTuple):
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


def check_arguments(f, arrays, options, seed):
    """`check` with its options made.   -> {argument number: Error}"""
    options.checked()
    names = [f"argument {i}" for i in range(len(arrays))]
    for name, array in zip(names, arrays, strict=True):
        check_library(name, array)
    checked = [i for i, a in enumerate(arrays) if getattr(getattr(a, "dtype", None), "kind", None) == "f"]
    for i in checked:
        if arrays[i].dtype != np.float64:
            raise TypeError(f"{names[i]} is {arrays[i].dtype}; a gradient is checked in float64 (x.astype('float64'))")
    rng = Rng(seed)
    with read_only([arrays[i] for i in checked]):
        y, back = call(f, arrays)
        dy = xp_of(y).asarray(rng.standard_normal(y.shape, dtype=np.float64))
        with read_only([dy]):
            grads = as_list(run(back, dy, "back(dy)"), len(checked))
            grads = [array_of(grad, names[i]) for i, grad in zip(checked, grads, strict=True)]
            first = [g.copy() for g in grads]
            call(f, [a + 0.1 if i in checked else a for i, a in enumerate(arrays)])  # another forward in between
            again = [
                array_of(g, "back(dy), called again") for g in as_list(run(back, dy, "back(dy), called again"), len(checked))
            ]

    def along(directions):
        return jvp(f, arrays, [directions.get(i, xp_of(arrays[i]).zeros_like(arrays[i])) if i in checked else None
                               for i in range(len(arrays))])[1]  # fmt: skip

    def moved(directions, h):
        return forward(f, *[a + h * directions[i] if i in directions else a for i, a in enumerate(arrays)])

    why = _why_difference(along, moved, {i: arrays[i] for i in checked}, y, options, seed)
    errors = {}
    for i, grad, kept, second in zip(checked, grads, first, again, strict=True):
        x = arrays[i]
        if grad.shape != x.shape or grad.dtype != x.dtype:
            raise GradientError(f"{names[i]}: its gradient is {grad.shape} {grad.dtype}, expected {x.shape} {x.dtype}")
        if not same(kept, second):
            raise GradientError(
                f"{names[i]}: back(dy) gave another answer after f was called again. Something is kept outside the "
                "closure (self.cache?), or back changes what it captured."
            )

        def at(value, i=i):
            return forward(f, *[value if j == i else a for j, a in enumerate(arrays)])

        def pull(dy, i=i):
            return as_list(back(dy), len(checked))[checked.index(i)]

        exact = None if why else lambda r, i=i: along({i: r})
        errors[i] = compare(at, x, kept, dy, names[i], options, _direction(rng, x), exact, why, y, pull=pull)
    return errors


def check_params(layer, arrays, options, seed):
    """The Params of `check_layer`.   -> {path: Error}"""
    rng, params, errors = Rng(seed), layer.parameters(), {}
    y, back = call(layer, arrays)
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
            return forward(layer, *arrays)
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
                return forward(layer, *arrays)
            finally:
                x[...] = kept

        exact = None if why else lambda r, path=path: along({path: r})
        slope = slopes.get(path)
        grad, r = param.grad - before[path], directions.get(path)
        errors[path] = compare(at, kept, grad, dy, path, options, r, exact, why, y, slope, assigned=param.grad)
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
        seen = 1e-5 * (norm(a) + norm(by_step)) + 100 * np.finfo(np.float64).eps * norm(y) / h
        return not norm(a - by_step) <= seen

    by_difference = slope(h)
    if apart(by_difference) and apart((4 * slope(h / 2) - by_difference) / 3):
        return f"not analytic (abs, conj, var), or a kink within {h:.0e}: the complex step and a difference give other slopes"
    return ""


def compare(at, x, grad, dy, name, options, r, exact, why, y, slope=None, assigned=None, pull=None):
    """Relative error of sum(grad * r) against the slope along the random unit direction r; raises if too large.

    at(x) -> y     exact(r) -> the slope by a complex step; None where there is none, for the reason `why`
    pull(dy) -> back's gradient of x, for the diagnosis; None for a Param
    slope  exact(r), where it is known already
    """
    if x.size == 0:
        return Error(0.0, "complex" if exact else "difference", why)
    by_back = float((grad * r).sum())
    if exact is None:
        (error, by_slope), tolerance = _difference_error(at, x, grad, dy, options, r), options.allowed("difference")
        if not error <= tolerance:  # a NaN is not
            text = explain(at, x, grad, dy, name, options.h, error, tolerance, by_back, by_slope, assigned, r, pull=pull)
            raise GradientError(text)
        return Error(error, "difference", why)
    by_slope, tolerance = inner(dy, exact(r) if slope is None else slope), options.allowed("complex")
    floor = abs(by_back) + typical_size(grad) + 100 * np.finfo(np.float64).eps * norm(dy * y) / tolerance + 1e-300
    error = float(abs(by_back - by_slope) / (floor + abs(by_slope)))
    if error <= tolerance:
        return Error(error, "complex")
    if options.method == "auto" and error > 1e-5:  # is this argument the one along which f is not analytic?
        by_difference = _difference_error(at, x, grad, dy, options, r)[0]
        if by_difference <= TOLERANCE["difference"]:
            why = "not analytic (abs, conj, var): the complex step gives another slope than a difference"
            return Error(by_difference, "difference", why)
    raise GradientError(
        explain(at, x, grad, dy, name, options.h, error, tolerance, by_back, by_slope, assigned, r, exact, pull)
    )


def _difference_error(at, x, grad, dy, options, r):
    """(relative error of sum(grad * r), slope along r) by central differences."""
    h, tolerance, by_back = options.h, options.allowed("difference"), float((grad * r).sum())
    up, down = at(x + h * r), at(x - h * r)
    by_slope = inner(dy, up - down) / (2 * h)
    # a derivative along a random direction is typically this large: a chance zero is not an error of 100 %
    typical = typical_size(grad)
    # and rounding alone makes this much slope, so a gradient that is truly 0 (a key's bias in attention) is no error
    rounding = 100 * np.finfo(np.float64).eps * norm(dy * up) / h
    floor = abs(by_back) + typical + rounding / tolerance + 1e-300
    error = float(abs(by_back - by_slope) / (floor + abs(by_slope)))
    if not error <= tolerance:  # the quotient's own error falls with h squared: take that term away before blaming backward
        half = inner(dy, at(x + h / 2 * r) - at(x - h / 2 * r)) / h
        refined = (4 * half - by_slope) / 3  # Richardson's extrapolation
        error = min(error, float(abs(by_back - refined) / (floor + abs(refined))))
    return error, by_slope


def _direction(rng, x):
    """A random unit direction of x's shape."""
    r = xp_of(x).asarray(rng.standard_normal(x.shape, dtype=np.float64))
    r /= max(float((r * r).sum()) ** 0.5, 1e-300)
    return r

"""Exact derivatives by a step along the imaginary axis: for an analytic f, f(x + i h v).imag / h is its derivative along v.

    y, dy = jvp(f, arrays, tangents)

A difference quotient subtracts two nearly equal numbers and loses half of their digits. Here nothing is subtracted, so h may
be 1e-100: its square vanishes beside 1, and the quotient is exact to rounding. Squire and Trapp 1998, "Using complex variables
to estimate derivatives of real functions"; Martins, Sturdza and Alonso 2003.

Where a function of the library has no complex derivative, its slope is defined by the real part: see `maximum`, `absolute`,
`quantile` and `ops.activation.erf`. Every `x > 0` and every index is a matter of the real part too: NumPy orders complex
numbers by it, and looks at the imaginary part only where two real parts are equal.
"""

import contextlib
import warnings

import numpy as np

from .backend import xp_of
from .settings import no_grad, plain, setting

STEPS = {np.dtype("float64"): 1e-100, np.dtype("float32"): 1e-10}  # h^2 is nothing beside 1, and h times a tangent no underflow


def jvp(f, arrays, tangents, params=None):
    """y and its exact derivative along the tangents, J v: one forward pass in complex numbers, through the plain ops.

    f         y, back = f(*arrays), y = f(*arrays), or a Layer; y is an array or a number
    arrays    float64 or float32 where they have a tangent; anything else is passed on as it is
    tangents  one for each array, of its shape; None where an array does not move
    params    {path: tangent} for a Layer; Params without one do not move
    ->        y, dy: both of y's shape, in the dtype of the arrays

    dy is exact to rounding for every f made of NumPy's analytic functions. Raises TypeError where f casts to real numbers or
    returns them. NumPy's `abs`, `sign`, `conj` and `var` are not analytic: their slope is wrong without an error, which
    `gradcheck.check` finds by a difference. While f runs, the Params of a Layer are complex: no other thread may use it.
    """
    arrays, tangents, params = list(arrays), list(tangents), dict(params or {})
    own = f.parameters() if params and hasattr(f, "parameters") else {}
    h = STEPS[_dtype(arrays, tangents, params, own)]
    moved = [a if v is None else a + 1j * h * v for a, v in zip(arrays, tangents, strict=True)]
    with contextlib.ExitStack() as stack:
        for path, param in own.items():
            stack.enter_context(param.replaced(_moved(param.value, h, params[path]) if path in params else param.value + 0j))
        y = _complex(f, moved)
    return y.real.copy(), y.imag / h


def _moved(value, h, v):
    """value + i h v, whose imaginary part is written in place: there may be a hundred million numbers."""
    z = value.astype(np.result_type(value.dtype, v.dtype, np.complex64))
    z.imag[...] = h * v
    return z


def one_by_one(layer, arrays, params, tangents):
    """`jvp` along the tangent of one Param after another, the arrays at rest.   params {path: Param}   tangents {path: tangent}

    -> {path: dy}, without taking the layer apart again for each
    """
    still, slopes = [a + 0j if getattr(getattr(a, "dtype", None), "kind", None) == "f" else a for a in arrays], {}
    steps = {path: STEPS[params[path].value.dtype] for path in tangents}
    with contextlib.ExitStack() as stack:
        for param in params.values():
            stack.enter_context(param.replaced(param.value + 0j))
        for path, v in tangents.items():
            with params[path].replaced(params[path].value + 1j * steps[path] * v):
                slopes[path] = _complex(layer, still).imag / steps[path]
    return slopes


def _dtype(arrays, tangents, params, own):
    """The one dtype of all that moves; raises for tangents that do not fit."""
    if len(tangents) != len(arrays):
        raise ValueError(f"tangents: got {len(tangents)}, expected one for each of the {len(arrays)} arrays (None: no tangent)")
    pairs = [(f"tangents[{i}]", a, v) for i, (a, v) in enumerate(zip(arrays, tangents, strict=True)) if v is not None]
    if params:
        unknown = sorted(set(params) - set(own))
        if unknown:
            raise ValueError(f"params: got {', '.join(unknown)}, expected paths of f.parameters()")
        pairs += [(f"params[{path!r}]", own[path].value, v) for path, v in params.items()]
    if not pairs:
        raise ValueError("tangents: got None for every array, expected at least one tangent")
    for name, a, v in pairs:
        if getattr(a, "dtype", None) not in STEPS:
            raise TypeError(f"{name}: got a tangent for {getattr(a, 'dtype', type(a).__name__)}, expected float64 or float32")
        if np.shape(v) != a.shape:
            raise ValueError(f"{name}: got shape {np.shape(v)}, expected {a.shape}")
        if getattr(v, "dtype", a.dtype) != a.dtype or a.dtype != pairs[0][1].dtype:
            raise TypeError(f"{name}: got {getattr(v, 'dtype', None)} for {a.dtype}, expected one dtype for all that moves")
    return pairs[0][1].dtype


def _complex(f, arrays):
    """f's answer in complex numbers; raises TypeError where it has lost them."""
    with plain(), no_grad(), setting(complex_step=True), warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            answer = f(*arrays)
        except np.exceptions.ComplexWarning as warning:
            raise TypeError(f"f: it casts complex numbers to real ones, which loses the derivative ({warning})") from warning
    y = answer[0] if isinstance(answer, tuple) else answer
    y = np.asarray(y) if isinstance(y, (int, float, complex)) else y
    if getattr(getattr(y, "dtype", None), "kind", None) != "c":
        kind = getattr(y, "dtype", type(y).__name__)
        raise TypeError(
            f"f: its y is {kind} for complex arguments, expected complex numbers: abs, .real or a cast lost them, or y does "
            "not depend on what moves"
        )
    return y


# ---- functions without a complex derivative, by the real part ---------------------------------------------------------------


def maximum(x, low):
    """max(x, low), low a number or an array; at x = low the slope is that of low, as in every backward pass. NaN stays NaN."""
    xp = xp_of(x)
    return xp.where(x.real <= low.real, low, x) if x.dtype.kind == "c" else xp.maximum(x, low)


def clip(x, low, high):
    """x held to [low, high], numbers, arrays or None; slope 1 inside, and at and beyond a bound that bound's. NaN stays NaN."""
    if x.dtype.kind != "c":
        return xp_of(x).clip(x, low, high)
    x = x if low is None else maximum(x, low)
    return x if high is None else -maximum(-x, -high)


def absolute(x):
    """|x|, with slope 1 above 0 and -1 below and at it."""
    return xp_of(x).where(x.real > 0, x, -x) if x.dtype.kind == "c" else abs(x)


def quantile(x, q):
    """The quantile q of each row, interpolated linearly.   x (B, N)   ->   (B,)

    Its slope is interpolated between the same two entries. Of equal entries the first in the row comes first.
    """
    xp, place = xp_of(x), q * (x.shape[1] - 1)
    if x.dtype.kind != "c":
        return xp.quantile(x, q, axis=1)
    low = min(int(place), max(x.shape[1] - 2, 0))
    order = x.real.argsort(axis=1, kind="stable")[:, low : low + 2]
    slopes = xp.take_along_axis(x.imag, order, axis=1)  # (B, 2), or (B, 1) in rows of one entry
    return xp.quantile(x.real, q, axis=1) + 1j * (slopes[:, 0] + (place - low) * (slopes[:, -1] - slopes[:, 0]))


def is_complex(x):
    """Whether a number or an array is complex: a derivative is being taken along it."""
    return isinstance(x, complex) or getattr(getattr(x, "dtype", None), "kind", None) == "c"


def cast(x, dtype):
    """x in this real dtype, or in the complex dtype of the same precision where x is complex."""
    return x.astype(xp_of(x).result_type(dtype, np.complex64) if x.dtype.kind == "c" else dtype)


def add_to(y, b):
    """y += b, in place but where b alone is complex.   ->   the sum"""
    if y.dtype.kind != "c" and b.dtype.kind == "c":
        return y + b
    y += b
    return y

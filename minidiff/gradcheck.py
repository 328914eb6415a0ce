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

import numpy as np

from .backend import to_numpy, xp_of
from .rng import Rng

SEED = 0x9E3779B9  # of its own: a dy drawn from the seed that drew x hides bugs in normalisation


class GradientError(AssertionError):
    """A backward pass that does not fit its forward pass; the message says where and what it may be."""


def check(f, *arrays, h=1e-5, tolerance=1e-6, seed=SEED):
    """Check `y, back = f(*arrays)`.   arrays: float64, any shapes; integer arrays and None pass through unchecked.

    -> {argument number: relative error}.   Raises GradientError with a diagnosis; TypeError for other dtypes.
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
        dx[index] = float((dy * (_forward(f, up) - _forward(f, down))).sum()) / (2 * h)
    return dx


# ---- the check itself ----------------------------------------------------------------------------------------------------


def _check(f, arrays, names, h, tolerance, seed):
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
            first = [g.copy() for g in grads]
            _call(f, [a + 0.1 if i in checked else a for i, a in enumerate(arrays)])  # another forward in between
            again = _as_list(_run(back, dy, "back(dy), called again"), len(checked))
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
    y, back = layer(*arrays)
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
    by_slope = float((dy * (up - down)).sum()) / (2 * h)
    # a derivative along a random direction is typically this large: a chance zero is not an error of 100 %
    typical = float((grad * grad).sum() / grad.size) ** 0.5
    # and rounding alone makes this much slope, so a gradient that is truly 0 (a key's bias in attention) is no error
    rounding = 100 * np.finfo(np.float64).eps * float(((dy * up) ** 2).sum()) ** 0.5 / h
    error = float(abs(by_back - by_slope) / (abs(by_back) + abs(by_slope) + typical + rounding / tolerance + 1e-300))
    if not error <= tolerance:  # a NaN is not
        raise GradientError(_explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned))
    return error


# ---- saying what is wrong ------------------------------------------------------------------------------------------------


def _explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned):
    lines = [
        f"{name} {tuple(x.shape)}: relative error {error:.1e} along a random direction, above {tolerance:.0e}",
        f"  backward says {by_back:+.9g}, the forward's slope is {by_slope:+.9g}",
    ]
    if x.size <= 4096 and xp_of(x) is np:
        true = numerical_grad(at, x, dy, h)
        gap = np.abs(grad - true)
        worst = tuple(int(k) for k in np.unravel_index(np.nanargmax(gap) if np.isfinite(gap).any() else 0, x.shape))
        lines.append(f"  worst entry {worst}: backward {grad[worst]:+.9g}, slope {true[worst]:+.9g}")
        if assigned is not None and _near(assigned, true):
            lines.append("  usual cause: the gradient is assigned (p.grad = g), it must be added (p.grad += g)")
        else:
            lines += [f"  usual cause: {cause}" for cause in diagnose(grad, true, x, dy.shape[0] if dy.ndim else 1)]
    return "\n".join(lines)


def diagnose(grad, true, x, batch=None):
    """What a wrong gradient usually means.   grad, true, x of one shape, NumPy   -> list of sentences, likeliest first"""
    if not np.isfinite(grad).all():
        return ["NaN or infinity: a division by 0, a logarithm or a root of something not positive"]
    if not grad.any():
        return ["the gradient is all zeros: this argument's term is missing"]
    factor = float((grad * true).sum() / max((true * true).sum(), 1e-300))
    if _near(grad, factor * true) and abs(factor) > 1e-9:
        if abs(factor + 1) < 1e-5:
            return ["a sign: the gradient is exactly the negative"]
        known = [(2, "2"), (0.5, "1/2")]
        if batch and batch > 1:
            known += [(batch, "the batch size (a sum where a mean stands)"), (1 / batch, "1/batch (a mean where a sum stands)")]
        for n in sorted(set(x.shape) - {1}):
            known += [(n**0.5, f"sqrt({n})"), (n**-0.5, f"1/sqrt({n})"), (n, f"{n}"), (1 / n, f"1/{n}")]
        words = [w for value, w in known if abs(abs(factor) - value) < 1e-5 * value]
        if words:
            return [f"a constant factor: the gradient is {' or '.join(words)} times the right one; look at each term's scale"]
        return [f"a constant factor of {factor:.6g}: a scale of forward is missing in backward, or twice"]
    gap = grad - true
    if x.ndim >= 2 and x.shape[-1] == x.shape[-2] and _near(grad, np.swapaxes(true, -1, -2)):
        return ["a transpose: the gradient's last two axes are swapped"]
    if x.ndim == 4 and _near(grad, true[::-1, ::-1]):
        return ["a flipped kernel: the gradient is right after turning the first two axes round"]
    for shape, axes, what in _groupings(x):
        g, c = gap.reshape(shape), x.reshape(shape) - x.reshape(shape).mean(axis=axes, keepdims=True)
        if _near(g, np.broadcast_to(g.mean(axis=axes, keepdims=True), shape)):
            return [f"the error is one number for each {what}: a missing mean term (x also acts through the mean)"]
        slope = (g * c).sum(axis=axes, keepdims=True) / np.maximum((c * c).sum(axis=axes, keepdims=True), 1e-300)
        if _near(g, slope * c):
            return [
                f"the error is proportional to x - mean(x) in each {what}: the variance term is missing or has the wrong "
                "sign (x also acts through the deviation)"
            ]
    wrong = ~np.isclose(grad, true, rtol=1e-4, atol=1e-7 * float(np.abs(true).max()))
    share = wrong.mean()
    if share < 0.5:
        return [f"only {wrong.sum()} of {wrong.size} entries are wrong: an edge, an index, or a term for some entries"]
    return ["no simple pattern: a missing term (mean, variance, cross-talk of a softmax), or a missing sum over the batch"]


def _groupings(x):
    """The sets of numbers over which norms take their means.   yields (shape of x to look at, axes of one set, name)"""
    if x.ndim < 2:
        return
    yield x.shape, (x.ndim - 1,), "row"
    yield x.shape, tuple(range(1, x.ndim)), "sample"
    B, C = x.shape[0], x.shape[-1]
    for groups in range(2, C + 1):
        if C % groups == 0 and x.ndim > 2:
            yield (B, x.size // (B * C), groups, C // groups), (1, 3), f"sample and group of {C // groups} channels"


# ---- small parts -----------------------------------------------------------------------------------------------------------


class _read_only:
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
        raise TypeError("expected y, back = f(*arrays): an array and the function that carries its gradient back")
    return answer


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
    grads = list(grads) if isinstance(grads, (tuple, list)) else [grads]
    if len(grads) != expected:
        raise GradientError(f"back returned {len(grads)} gradients for {expected} float arguments: one each, in their order")
    return grads


def _forward(f, *arrays):
    answer = f(*arrays)
    return answer[0] if isinstance(answer, tuple) else answer


def _same(a, b):
    return bool(np.array_equal(to_numpy(a), to_numpy(b), equal_nan=True))


def _near(a, b):
    return bool(np.abs(a - b).max() <= 1e-5 * max(float(np.abs(b).max()), 1e-12))

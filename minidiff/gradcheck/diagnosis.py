"""What a wrong gradient usually means, from the gradient, the right one and x; and whether the slope exists at all."""

import numpy as np

from ..backend import to_numpy, xp_of
from .calls import inner, same, typical_size
from .coupling import coupling
from .numerical import exact_grad, numerical_grad

NO_PATTERN = "no simple pattern: a missing term (mean, variance, cross-talk of a softmax), or a missing sum over the batch"


def explain(at, x, grad, dy, name, h, error, tolerance, by_back, by_slope, assigned, r, exact=None, pull=None):
    """The message of a GradientError: how far off, where most, and its usual cause.   Arguments: see `identity.compare`"""
    digits = 9 if exact is None else 15
    lines = [
        f"{name} {tuple(x.shape)}: relative error {error:.1e} along a random direction, above {tolerance:.0e}",
        f"  backward says {by_back:+.{digits}g}, the forward's slope is {by_slope:+.{digits}g}",
    ]
    once, twice = at(x), at(x)
    if not same(once, twice):
        gap = float(abs(to_numpy(twice - once)).max())
        cause = f"f is not deterministic: two calls on the same arguments differ by up to {gap:.3g}"
        return "\n".join([*lines, f"  {cause}. Draw random numbers (a dropout mask) before the check, not in f"])
    typical = abs(by_back) + abs(by_slope) + typical_size(grad)
    bend = kink(lambda value: inner(dy, at(value)), x, r, h, by_back, typical)
    if bend:
        lines.append(f"  usual cause: {bend}")
    elif x.size <= 4096 and xp_of(x) is np:
        true = numerical_grad(at, x, dy, h) if exact is None else exact_grad(exact, x, dy)
        gap = np.abs(grad - true)
        worst = tuple(int(k) for k in np.unravel_index(np.nanargmax(gap) if np.isfinite(gap).any() else 0, x.shape))
        lines.append(f"  worst entry {worst}: backward {grad[worst]:+.{digits}g}, slope {true[worst]:+.{digits}g}")
        if assigned is not None and near(assigned, true):
            lines.append("  usual cause: the gradient is assigned (p.grad = g), it must be added (p.grad += g)")
        else:
            causes = diagnose(grad, true, x, dy.shape[0] if dy.ndim else 1)
            if causes == [NO_PATTERN] and pull is not None:
                along = exact or (lambda r: (at(x + h * r) - at(x - h * r)) / (2 * h))
                causes = [coupling(along, pull, x, to_numpy(once), name) or NO_PATTERN]
            lines += [f"  usual cause: {cause}" for cause in causes]
    return "\n".join(lines)


def diagnose(grad, true, x, batch=None):
    """What a wrong gradient usually means.   grad, true, x of one shape, NumPy   -> list of sentences, likeliest first"""
    if not np.isfinite(grad).all():
        return ["NaN or infinity: a division by 0, a logarithm or a root of something not positive"]
    if not grad.any():
        return ["the gradient is all zeros: this argument's term is missing"]
    if near(grad, true, 1e-6):
        share = float(np.abs(grad - true).max() / np.abs(true).max())
        return [
            f"off by {share:.1e} of the largest entry, too little for a missing term: a constant of too few digits or in "
            "float32, an eps that only one of the passes has, an approximation in backward alone"
        ]
    factor = float((grad * true).sum() / max((true * true).sum(), 1e-300))
    if near(grad, factor * true) and abs(factor) > 1e-9:
        if abs(factor + 1) < 1e-5:
            return ["a sign: the gradient is exactly the negative"]
        known = [(2, "2"), (0.5, "1/2")]
        if batch and batch > 1:
            known += [(batch, "the batch size (a sum where a mean stands)"), (1 / batch, "1/batch (a mean where a sum stands)")]
        for n in sorted(set(x.shape) - {1}):
            known += [(n**0.5, f"sqrt({n})"), (n**-0.5, f"1/sqrt({n})"), (n, f"{n}"), (1 / n, f"1/{n}")]
        words = [w for value, w in known if abs(abs(factor) - value) < 1e-5 * value]
        if words:
            words = " or ".join(dict.fromkeys(words))
            return [f"a constant factor: the gradient is {words} times the right one; look at each term's scale"]
        return [f"a constant factor of {factor:.9g}: a scale of forward is missing in backward, or twice"]
    gap = grad - true
    if x.ndim >= 2 and x.shape[-1] == x.shape[-2] and near(grad, np.swapaxes(true, -1, -2)):
        return ["a transpose: the gradient's last two axes are swapped"]
    if x.ndim == 4 and near(grad, true[::-1, ::-1]):
        return ["a flipped kernel: the gradient is right after turning the first two axes round"]
    for shape, axes, what in _groupings(x):
        g, c = gap.reshape(shape), x.reshape(shape) - x.reshape(shape).mean(axis=axes, keepdims=True)
        if near(g, np.broadcast_to(g.mean(axis=axes, keepdims=True), shape)):
            return [f"the error is one number for each {what}: a missing mean term (x also acts through the mean)"]
        slope = (g * c).sum(axis=axes, keepdims=True) / np.maximum((c * c).sum(axis=axes, keepdims=True), 1e-300)
        if near(g, slope * c):
            return [
                f"the error is proportional to x - mean(x) in each {what}: the variance term is missing or has the wrong "
                "sign (x also acts through the deviation)"
            ]
    wrong = ~np.isclose(grad, true, rtol=1e-4, atol=1e-7 * float(np.abs(true).max()))
    share = wrong.mean()
    if share < 0.5:
        return [f"only {wrong.sum()} of {wrong.size} entries are wrong: an edge, an index, or a term for some entries"]
    return [NO_PATTERN]


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


def kink(at, x, r, h, by_back, scale):
    """A sentence where the forward bends within h of x along r, so that its slope depends on the side; else None.

    at(x) -> sum(dy * y), a number.   A smooth forward's two one-sided slopes come together as h shrinks: ten times closer for a
    tenth of h. Those of a kink at x stay apart. One beside x, closer than h, is gone from a shorter step.
    """
    middle = at(x)

    def sides(h):
        return (at(x + h * r) - middle) / h, (middle - at(x - h * r)) / h

    right, left = sides(h)
    gap, (near_right, near_left) = abs(right - left), sides(h / 10)
    if gap <= 1e-3 * scale:
        return None
    stays = abs(near_right - near_left) > 0.5 * gap
    passes = abs(near_right + near_left - 2 * by_back) < 1e-3 * scale and abs(right + left - 2 * by_back) > 2e-3 * scale
    if not (stays or passes):
        return None
    where = "at x" if stays else f"within {h:.0e} of x"
    between = min(left, right) - 1e-3 * scale <= by_back <= max(left, right) + 1e-3 * scale
    verdict = "lies between them" if between else "lies outside them, so it is wrong too"
    return (
        f"a kink {where} (ReLU at 0, a maximum of equal numbers): the forward's slope is {left:+.6g} on one side and "
        f"{right:+.6g} on the other; backward's {verdict}. Check at an x without it"
    )


def near(a, b, tolerance=1e-5):
    return bool(np.abs(a - b).max() <= tolerance * max(float(np.abs(b).max()), 1e-12))

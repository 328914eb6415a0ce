"""Wrong backward passes that a difference at 1e-6 lets through, and a complex step at 1e-12 does not.

Each function is right with bug=False. `python tests/test_gradcheck_subtle.py` prints the table of docs/checked.md.
"""

import math

import numpy as np
import pytest

from minidiff import ops
from minidiff.cpu import winograd
from minidiff.gradcheck import GradientError, check
from minidiff.models.clip import unit_vectors
from minidiff.ops.activation import erf
from minidiff.rng import Rng
from minidiff.settings import plain


def randn(*shape, seed=0):
    return Rng(seed).standard_normal(shape, dtype=np.float64)


def rms_norm(x, bug):
    """eps = 1e-6 in forward, forgotten in backward"""
    square = (x * x).mean(axis=-1, keepdims=True)
    y = x / np.sqrt(square + 1e-6)

    def back(dy):
        rstd = 1 / np.sqrt(square + (0.0 if bug else 1e-6))
        return rstd * (dy - x * rstd**2 * (dy * x).mean(axis=-1, keepdims=True))

    return y, back


def layer_norm(x, bug):
    """N - 1 for N in the variance term, N = 20000"""
    centred, n = x - x.mean(axis=-1, keepdims=True), x.shape[-1]
    rstd = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)

    def back(dy):
        xhat = centred * rstd
        through_variance = xhat * (dy * xhat).sum(axis=-1, keepdims=True) / (n - 1 if bug else n)
        return rstd * (dy - dy.mean(axis=-1, keepdims=True) - through_variance)

    return centred * rstd, back


def gelu(x, bug):
    """1 / sqrt(2 pi) in float32 in backward"""
    constant = float(np.float32(1 / math.sqrt(2 * math.pi))) if bug else 1 / math.sqrt(2 * math.pi)
    half = 0.5 * (1 + erf(x * math.sqrt(0.5)))
    return x * half, lambda dy: dy * (half + x * np.exp(-0.5 * x * x) * constant)


def gelu_by_table(x, bug):
    """erf from Abramowitz and Stegun 7.1.26, good to 1.5e-7, in backward alone"""
    half = 0.5 * (1 + erf(x * math.sqrt(0.5)))

    def cheap(z):
        t = 1 / (1 + 0.3275911 * abs(z))
        p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        return np.sign(z) * (1 - p * np.exp(-z * z))

    def back(dy):
        inside = 0.5 * (1 + cheap(x * math.sqrt(0.5))) if bug else half
        return dy * (inside + x * np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi))

    return x * half, back


def softmax(x, bug):
    """y kept in float32 for backward"""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)

    def back(dy):
        kept = y.astype(np.float32).astype(np.float64) if bug else y
        return kept * (dy - (dy * kept).sum(axis=-1, keepdims=True))

    return y, back


def scores(x, bug):
    """1 / sqrt(3) written 0.5773503 in backward"""
    scale = 1 / math.sqrt(3)
    back_scale = 0.5773503 if bug else scale
    return x @ x.T * scale, lambda dy: (dy + dy.T) @ x * back_scale


def wave(x, bug):
    """pi written 3.1415927 in backward"""
    return np.sin(np.pi * x), lambda dy: dy * np.cos(np.pi * x) * (3.1415927 if bug else np.pi)


def avg_pool(x, bug):
    """1 / 9 written 0.1111111 in backward"""
    return x.reshape(-1, 9).mean(axis=1), lambda dy: np.repeat(dy, 9) * (0.1111111 if bug else 1 / 9)


def cross_entropy(x, bug):
    """log(p + 1e-8) in forward, log(p) in backward"""
    e = np.exp(x)
    p = e / e.sum(axis=-1, keepdims=True)
    first = np.eye(x.shape[-1])[0]
    q = p[:, :1]
    return -np.log(q[:, 0] + 1e-8), lambda dy: dy[:, None] * (p - first) * (1.0 if bug else q / (q + 1e-8))


def unit(x, bug):
    """x / (|x| + 1e-7) in forward, x / |x| in backward"""
    length = np.sqrt((x * x).sum(axis=-1, keepdims=True))

    def back(dy):
        below = length + (0.0 if bug else 1e-7)
        return dy / below - x * (dy * x).sum(axis=-1, keepdims=True) / (length * below * below)

    return x / (length + 1e-7), back


def linear(x, bug):
    """dx of a matrix product accumulated in float32"""
    w = randn(6, 5, seed=9)
    narrow = np.float32 if bug else np.float64
    return x @ w, lambda dy: (dy.astype(narrow) @ w.T.astype(narrow)).astype(np.float64)


SUBTLE = [(rms_norm, 2 + randn(4, 6)), (layer_norm, randn(2, 20000)), (gelu, randn(4, 6)), (gelu_by_table, randn(4, 6)),
          (softmax, randn(4, 6)), (scores, randn(4, 3)), (wave, randn(4, 6)), (avg_pool, randn(36)),
          (cross_entropy, randn(4, 6)), (unit, randn(4, 6)), (linear, randn(4, 6))]  # fmt: skip


@pytest.mark.parametrize("f, x", SUBTLE, ids=[f.__name__ for f, _ in SUBTLE])
def test_a_subtle_bug_passes_a_difference_and_fails_a_complex_step(f, x, count):
    right = check(lambda x: f(x, False), x)[0]
    assert right.method == "complex" and right < 1e-15
    by_difference = check(lambda x: f(x, True), x, method="difference")[0]
    assert by_difference < 1e-6
    with pytest.raises(GradientError, match=r"relative error \S+ along a random direction, above 1e-12"):
        check(lambda x: f(x, True), x)
    count("planted")


# The same bugs in the package itself: tests/zoo/mistakes.toml injects them, and these inputs would hide them from a difference
OPS = {
    "rms_norm": (ops.rms_norm, 2 + randn(4, 6), randn(6, seed=1)),
    "layer_norm": (ops.layer_norm, randn(2, 20000), randn(20000, seed=1), randn(20000, seed=2)),
    "gelu": (ops.gelu, randn(4, 6)),
    "softmax": (ops.softmax, randn(4, 6)),
    "attention": (ops.attention, randn(2, 4, 3), randn(2, 4, 3, seed=1), randn(2, 4, 3, seed=2)),
    "gelu_tanh": (ops.gelu_tanh, randn(4, 6)),
    "avg_pool": (lambda x: ops.avg_pool(x, 3), randn(2, 6, 6, 2)),
    "cross_entropy": (lambda x: ops.cross_entropy(x, np.array([0, 3, 5, 1])), randn(4, 6)),
    "unit_vectors": (unit_vectors, randn(4, 6)),
    "linear": (ops.linear, randn(4, 6), randn(6, 5, seed=1)),
}


@pytest.mark.parametrize("name", OPS)
def test_an_op_passes_a_complex_step(name):
    f, *arrays = OPS[name]
    with plain():
        errors = check(f, *arrays)
    assert all(e.method == "complex" and e < 1e-12 for e in errors.values()), errors


def test_a_fast_version_is_held_to_the_slope_of_the_reference():
    """Wrong constants of Winograd's are wrong both ways: a difference of the fast forward agrees with its backward."""
    x, w = randn(4, 16, 16, 32), randn(3, 3, 32, 32, seed=1)
    assert winograd.pays(4, 16, 16, *w.shape, 1)
    errors = check(lambda x, w: ops.conv2d(x, w, padding=1), x, w, method="complex")
    assert max(errors.values()) < 1e-12


if __name__ == "__main__":
    print("| injected bug | by a difference | by a complex step | without the bug |\n|---|---|---|---|")
    for f, x in SUBTLE:
        found = [check(lambda x: f(x, True), x, method=m, tolerance=1)[0] for m in ("difference", "complex")]  # noqa: B023
        right = check(lambda x: f(x, False), x)[0]  # noqa: B023
        what = f.__doc__.replace("|", "\\|")
        print(f"| `{f.__name__}`: {what} | {found[0]:.0e} | {found[1]:.0e} | {right:.0e} |")

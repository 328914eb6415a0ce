"""The weights that solvers are made of, against exact fractions: phi functions, Adams-Bashforth, UniPC's equations."""

import math
from fractions import Fraction

import numpy as np
import pytest

from minidiff.samplers.dpm_solver import _slopes, phi2, phi3
from minidiff.samplers.plms import ADAMS_BASHFORTH
from minidiff.samplers.point import Point
from minidiff.samplers.unipc import _weights

STEPS = [sign * k for k in (1e-9, 1e-5, 3e-3, 9e-3, 0.0099999, 0.0100001, 0.02, 0.3, 1.0, 4.0) for sign in (1, -1)]


def series(k, first):
    """k / first! + k^2 / (first + 1)! + ..., summed in fractions: what (e^k - 1 - k - ...) / k^n - 1 / n! stands for."""
    k, total = Fraction(k), Fraction(0)
    for j in range(1, 40):
        total += k**j / math.factorial(first + j - 1)
    return float(total)


@pytest.mark.parametrize("k", STEPS)
def test_phi_functions(k):
    """DPM-Solver (arXiv:2206.00927), appendix B. Where k is small, phi3 is a Taylor polynomial of four terms."""
    assert phi2(k) == pytest.approx(series(k, 2), rel=1e-12, abs=3e-16)
    assert phi3(k) == pytest.approx(series(k, 3), rel=3e-11)


def test_phi_functions_of_no_step():
    assert phi2(0.0) == phi3(0.0) == 0.0


@pytest.mark.parametrize("order", ADAMS_BASHFORTH)
def test_adams_bashforth_integrates_polynomials(order):
    """From 0 to 1, of values at 0, -1, -2, ...: the integral of s^p is 1 / (p + 1), for p below the order and not at it."""
    weights = [Fraction(w).limit_denominator(24) for w in ADAMS_BASHFORTH[order]]
    np.testing.assert_allclose([float(w) for w in weights], ADAMS_BASHFORTH[order], rtol=1e-15)
    for p in range(order + 1):
        assert (sum(w * (-j) ** p for j, w in enumerate(weights)) == Fraction(1, p + 1)) == (p < order)


@pytest.mark.parametrize("k", (0.4, -0.9))
@pytest.mark.parametrize("r", ((-1.3, -0.6), (-0.8, 1.0), (-2.0, -0.7, 1.0), (-3.0, -2.0, -0.5, 1.0)))
def test_unipc_weights_solve_the_papers_equations(r, k):
    """R(r) a = phi(k) / B. Row n reads sum a r^(n - 1) B = k n! phi_(n + 1)(k), UniPC (arXiv:2302.04867), theorem 3.1."""
    for b in (k, math.expm1(k)):
        weights = _weights(list(r), k, b)
        for n in range(1, len(r) + 1):
            left = b * sum(a * r_m ** (n - 1) for a, r_m in zip(weights, r, strict=True))
            assert left == pytest.approx(math.factorial(n) * series(k, n + 1), rel=1e-9)


def test_unipc_weights_of_one_slope_and_of_one_from_pure_noise():
    assert _weights([-0.3], 0.4, 0.4) == [0.5]
    with_noise, without = _weights([-0.5, -math.inf, 1.0], 0.4, 0.4), _weights([-0.5, 1.0], 0.4, 0.4)
    assert with_noise == [without[0], 0.0, without[1]]


@pytest.mark.parametrize("places", ((0.0, 1 / 3, 2 / 3, 1.0), (0.0, 0.2, 0.7, 1.0)))
def test_singlestep_slopes_of_a_parabola_are_its_derivatives(places):
    """With two slopes "heun" takes D' and D'' of the parabola through three predictions, "midpoint" the longer chord."""
    h, (a, b, c) = 0.8, (0.5, -2.0, 3.0)
    points = [Point(None, math.exp(0.1 + h * s), 1.0) for s in places]
    outputs = [a + b * s + c * s * s for s in places[:-1]]
    np.testing.assert_allclose(_slopes(outputs, points, "heun"), [b, 2 * c], rtol=1e-12)
    np.testing.assert_allclose(_slopes(outputs, points, "midpoint"), [b + c * places[2]], rtol=1e-12)
    for solver in ("heun", "midpoint"):
        short = _slopes(outputs[:2], [points[0], points[1], points[3]], solver)
        np.testing.assert_allclose(short, [b + c * places[1]], rtol=1e-12)

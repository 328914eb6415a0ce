import math

import numpy as np
import pytest

from minidiff.diffusion.ode import rk45


def last(run):
    *_, (t, y) = run
    return t, y


@pytest.mark.parametrize("t0, t1", [(0.0, 3.0), (3.0, 0.0)])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_to_the_tolerance_both_ways(t0, t1, tolerance):
    exact = lambda t: np.array([math.cos(t), -math.sin(t)])  # noqa: E731
    t, y = last(rk45(lambda t, y: np.array([y[1], -y[0]]), exact(t0), t0, t1, tolerance, tolerance))
    assert t == t1
    np.testing.assert_allclose(y, exact(t1), atol=20 * tolerance)
    assert abs(y - exact(t1)).max() > tolerance / 1000  # the steps are as long as the tolerance lets them be


def test_as_many_evaluations_as_scipy_s_rk45(outside):
    """scipy 1.17, solve_ivp(lambda t, y: -y * t, (3, 0), [1, 2], rtol=atol=1e-9): nfev 470, y(0) below."""
    calls = []
    _t, y = last(rk45(lambda t, y: (calls.append(t), -y * t)[1], np.array([1.0, 2.0]), 3.0, 0.0, 1e-9, 1e-9))
    outside(y, [90.0171313978, 180.0342627957], atol=2e-7)
    assert len(calls) == 470


def test_every_step_moves_on_and_the_last_ends_exactly():
    times = [t for t, _ in rk45(lambda t, y: -50 * (y - math.cos(t)), np.array([0.0]), 0.0, 1.5, 1e-6, 1e-6)]
    assert (np.diff([0.0, *times]) > 0).all() and times[-1] == 1.5


@pytest.mark.parametrize("t0, t1", [(1.0, 0.0), (0.0, 1.0)])
def test_the_function_is_asked_within_the_span_only(t0, t1):
    """A slope of 1e-4 of y: one hundredth of their ratio would be a first step of 100."""
    calls = []
    _t, y = last(rk45(lambda t, y: (calls.append(t), 1e-4 * y)[1], np.ones(1), t0, t1))
    assert 0 <= min(calls) and max(calls) <= 1 and y[0] == pytest.approx(math.exp(1e-4 * (t1 - t0)), rel=1e-9)
    assert not list(rk45(lambda t, y: y, np.ones(1), 1.0, 1.0))


def test_order_five():
    """Steps of fixed length (a tolerance that accepts all): the error falls as the fifth power."""
    errors = []
    for n in (8, 16):
        y = np.array([1.0])
        for i in range(n):  # one accepted step at a time
            _t, y = next(rk45(lambda t, y: y * math.cos(t), y, i * 2.0 / n, 2.0, 0.0, 1e9, first_step=2.0 / n))
        errors.append(abs(y[0] - math.exp(math.sin(2.0))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(5, abs=0.3)


def test_shapes_and_dtypes_are_kept():
    y0 = np.ones((2, 3, 4), np.float32)
    for _, y in rk45(lambda t, y: -y, y0, 0.0, 1.0, 1e-4, 1e-4):
        assert y.shape == y0.shape and y.dtype == np.float32
    np.testing.assert_allclose(y, math.exp(-1), rtol=1e-3)
    assert (y0 == 1).all()


def test_nothing_to_do():
    assert list(rk45(lambda t, y: y, np.ones(2), 1.0, 1.0)) == []


def test_failures_raise():
    with pytest.raises(RuntimeError, match="no step is short enough"):
        last(rk45(lambda t, y: 1 / (1 - t) * y / y * np.sign(1 - t), np.ones(1), 0.0, 2.0, 1e-10, 1e-10))
    with pytest.raises(RuntimeError, match="3 steps were not enough"):
        last(rk45(lambda t, y: np.cos(50 * t) + 0 * y, np.ones(1), 0.0, 10.0, 1e-8, 1e-8, max_steps=3))
    with pytest.raises(RuntimeError, match="no step is short enough"):
        last(rk45(lambda t, y: y * np.nan, np.ones(1), 0.0, 1.0, first_step=0.1))
    with pytest.raises(ValueError, match="rtol, atol: got 0, 0"):
        last(rk45(lambda t, y: y, np.ones(1), 0.0, 1.0, 0, 0))


# The accepted times of scipy 1.17.1, solve_ivp(f, (t0, t1), y0, rtol=rtol, atol=atol).t[1:], printed with ten digits
SCIPY = {
    "growth": (lambda t, y: -y * t, [1.0, 2.0], 3.0, 1e-6, 1e-6, [
        2.98157405, 2.891406389, 2.795866893, 2.698504055, 2.599043934, 2.496960674, 2.391677482, 2.282554198, 2.168854145,
        2.049696488, 1.923985301, 1.790297387, 1.646691703, 1.490354822, 1.316852929, 1.118212499, 0.875795988, 0.5567557769,
        0.2466498365, 0.0]),
    "rejected steps": (
        lambda t, y: np.array([y[1], -y[0] * (1 + 40 * math.exp(-20 * (t - 2) ** 2))]), [1.0, 0.0], 0.0, 1e-4, 1e-5, [
        0.04266807006, 0.4693487707, 1.033425236, 1.459405988, 1.614039647, 1.768673306, 1.879226286, 1.988356893, 2.087780418,
        2.183564094, 2.282512858, 2.430921943, 2.620031686, 2.908670076, 3.437356863, 4.0]),
    "from rest": (lambda t, y: np.array([math.sin(3 * t), y[0]]), [0.0, 0.0], 0.0, 1e-3, 1e-4, [
        0.0001, 0.0011, 0.0111, 0.1111, 0.609764415, 1.277107454, 2.0]),
    "steep": (lambda t, y: -50 * (y - math.cos(t)), [0.0], 0.0, 1e-3, 1e-3, [
        0.0001, 0.0011, 0.0111, 0.03071164054, 0.05260577236, 0.07943259284, 0.1124108959, 0.1545174072, 0.2099264617,
        0.2796345144, 0.3419390447, 0.4042435751, 0.468560726, 0.5]),
    "a line": (lambda t, y: np.ones(1), [1.0], 0.0, 1e-3, 1e-4, [0.1019244876, 1.121169364, 5.0]),
    "no movement": (lambda t, y: np.zeros(1), [1.0], 0.0, 1e-3, 1e-4, [
        1e-06, 1.1e-05, 0.000111, 0.001111, 0.011111, 0.111111, 1.111111, 5.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCIPY)
def test_the_steps_of_scipy(name, outside):
    """Every weight of the pair, the length of the first step and the rule for the next ones enter these times."""
    f, y0, t0, rtol, atol, times = SCIPY[name]
    run = list(rk45(f, np.array(y0), t0, times[-1], rtol, atol))
    outside([t for t, _ in run], times, atol=2e-9)


def test_the_pair_satisfies_its_order_conditions():
    """Each stage stands at the sum of its weights; the fifth order integrates t^k for k < 5, and the fourth for k < 4."""
    from minidiff.diffusion.ode import _A, _C, _E

    for c, row in zip(_C, _A, strict=True):
        assert sum(row) == pytest.approx(c, abs=1e-15)
    for k in range(5):
        assert sum(b * c**k for b, c in zip(_A[-1], _C, strict=False)) == pytest.approx(1 / (k + 1), abs=1e-15)
        assert (abs(sum(e * c**k for e, c in zip(_E, _C, strict=True))) < 1e-15) == (k < 4)


@pytest.mark.parametrize("t0, t1", ((0.0, 1.0), (2.0, 0.5)))
def test_the_classical_method_of_a_likelihood(t0, t1):
    """On y' = y a step multiplies by the first five terms of e^h; it ends at the next of evenly spaced times."""
    from minidiff.diffusion.likelihood import _rk4

    h = (t1 - t0) / 4
    times, values = zip(*_rk4(lambda t, y: y, np.array([2.0]), t0, t1, 4), strict=True)
    np.testing.assert_allclose(times, np.linspace(t0, t1, 5)[1:], rtol=1e-12)
    growth = 1 + h + h**2 / 2 + h**3 / 6 + h**4 / 24
    np.testing.assert_allclose(np.ravel(values), 2 * growth ** np.arange(1, 5), rtol=1e-12)
    *_, (_, y) = _rk4(lambda t, y: 4 * t**3 + 0 * y, np.array([t0**4]), t0, t1, 4)
    assert y[0] == pytest.approx(t1**4, rel=1e-12)  # Simpson's rule is exact for cubics

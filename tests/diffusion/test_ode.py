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


def test_failures_say_so():
    with pytest.raises(RuntimeError, match="no step is short enough"):
        last(rk45(lambda t, y: 1 / (1 - t) * y / y * np.sign(1 - t), np.ones(1), 0.0, 2.0, 1e-10, 1e-10))
    with pytest.raises(RuntimeError, match="3 steps were not enough"):
        last(rk45(lambda t, y: np.cos(50 * t) + 0 * y, np.ones(1), 0.0, 10.0, 1e-8, 1e-8, max_steps=3))
    with pytest.raises(RuntimeError, match="no step is short enough"):
        last(rk45(lambda t, y: y * np.nan, np.ones(1), 0.0, 1.0, first_step=0.1))
    with pytest.raises(ValueError, match="rtol, atol: got 0, 0"):
        last(rk45(lambda t, y: y, np.ones(1), 0.0, 1.0, 0, 0))

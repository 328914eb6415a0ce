"""An ordinary differential equation solved to a tolerance: Dormand and Prince's pair of orders 5 and 4.

The method of `ode45` and of scipy's RK45; here so that the library needs neither and so that arrays may live on a GPU.
"""

import math

# Dormand and Prince 1980, table 2. Row i holds the weights of the slopes that stage i starts from.
_C = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),  # also the fifth-order answer
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)  # fifth order minus fourth


def rk45(f, y0, t0, t1, rtol=1e-5, atol=1e-5, first_step=None, max_steps=100_000):
    """Solve dy/dt = f(t, y) from t0 to t1 (either way round); yields (t, y) after every accepted step, t1 the last.

    f            (float, array) -> array of y's shape; six calls a step, and one before the first (two to guess its length)
    y0           array of any shape, of floats, on any device
    rtol, atol   a step is accepted when the error, over atol + rtol |y|, has a root mean square of at most 1
    first_step   its length, a positive number; None: guessed from f
    Raises RuntimeError when the step becomes too short for floating point, or after max_steps attempts.

    One number per attempt, the error, comes back from the device.
    """
    if rtol < 0 or atol < 0 or rtol + atol == 0:
        raise ValueError(f"rtol, atol: got {rtol}, {atol}, expected at least 0 and not both 0")
    t, y, direction = float(t0), y0, 1.0 if t1 >= t0 else -1.0
    slope = f(t, y)
    h = abs(first_step) if first_step else _first_step(f, t, t1, y, slope, direction, rtol, atol)
    rejected = False
    for _ in range(max_steps):
        left = abs(t1 - t)
        if left == 0:
            return
        if h < 10 * abs(math.nextafter(t, direction * math.inf) - t):
            raise RuntimeError(f"rk45: at t = {t} no step is short enough for rtol {rtol}, atol {atol}: is f smooth there?")
        h = min(h, left)
        slopes = [slope]
        for c, row in zip(_C[1:], _A[1:], strict=True):
            y_stage = y + direction * h * _combine(row, slopes)
            slopes.append(f(t + direction * h * c, y_stage))
        y_new = y_stage  # the last stage starts from the answer itself, so its slope serves the next step
        error = _rms(h * _combine(_E, slopes), y, y_new, rtol, atol)
        if error <= 1.0:
            t = float(t1) if h == left else t + direction * h
            y, slope = y_new, slopes[-1]
            growth = 10.0 if error == 0 else min(10.0, 0.9 * error**-0.2)
            h, rejected = h * (min(1.0, growth) if rejected else growth), False
            yield t, y
        else:
            h, rejected = h * (max(0.2, 0.9 * error**-0.2) if math.isfinite(error) else 0.2), True
    raise RuntimeError(f"rk45: {max_steps} steps were not enough; stopped at t = {t} of {t1}")


def _combine(weights, slopes):
    total = weights[0] * slopes[0]
    for w, k in zip(weights[1:], slopes[1:], strict=True):
        if w:
            total = total + w * k
    return total


def _rms(delta, y, y_new, rtol, atol):
    scale = atol + rtol * (abs(y) + abs(y_new) + abs(abs(y) - abs(y_new))) / 2  # the larger of the two, without a module
    return float(((delta / scale) ** 2).mean()) ** 0.5


def _first_step(f, t, t1, y, slope, direction, rtol, atol):
    """Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4; f is asked between t and t1 only."""
    size, speed = _rms(y, y, y, rtol, atol), _rms(slope, y, y, rtol, atol)
    h0 = 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed
    h0 = min(h0, abs(t1 - t) or h0)
    bend = _rms(f(t + direction * h0, y + direction * h0 * slope) - slope, y, y, rtol, atol) / h0
    h1 = max(1e-6, h0 * 1e-3) if max(speed, bend) <= 1e-15 else (0.01 / max(speed, bend)) ** 0.2
    return min(100 * h0, h1)

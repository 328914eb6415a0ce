"""The probability-flow ODE, solved as any ODE: to a tolerance, or by the classical Runge-Kutta method.

In u = log s, s = sigma / alpha, and y = x / alpha, it reads   dy/du = s eps(y, s)   for every schedule.
Song et al. 2021 (arXiv:2011.13456), equation 13; Karras et al. 2022 (arXiv:2206.00364), equation 1.
"""

import math

from ..diffusion.ode import rk45
from .options import POSITIVE, Allowed
from .point import CLEAN
from .registry import sampler
from .trajectory import Step, check_signal

ODE = dict(default={"spacing": "exponential"}, uses="eps", check=check_signal)
AT_MOST = Allowed("at least 1, or None", lambda steps: steps is None or steps >= 1)
CHOOSES = "probability_flow chooses its steps by rtol and atol; leave it out"


@sampler(
    order=5, calls=6, steps=None, paper="Song et al. 2021 (arXiv:2011.13456), eq. 13; Dormand and Prince 1980",
    rejects=dict.fromkeys(("spacing", "offset", "skip_last", "whole", "rho"), CHOOSES), **ODE,
)  # fmt: skip
def probability_flow(trajectory, steps: AT_MOST = None, rtol: POSITIVE = 1e-5, atol: POSITIVE = 1e-5):
    """The ODE to a tolerance, the steps as long as that allows; then one last step to the clean image.

    x (B, ...) -> yields Step after every accepted step, as many as it takes.

    steps        None; a number is the most that may be accepted before giving up with RuntimeError
    rtol, atol   the error allowed in one step, relative and absolute: see `diffusion.ode.rk45`
    Of `sigmas` only the two ends matter.
    """
    y, seen = trajectory.x / trajectory.first.alpha, None
    first, *_, last = [trajectory.first, *(p for p in trajectory.points if p != CLEAN)]

    def f(u, y):
        nonlocal seen
        point = trajectory.at_s(math.exp(u)) if u < -first.lam else first
        seen, eps = trajectory.denoise(point.alpha * y, point)
        return point.s * eps

    u, i = -first.lam, -1
    for i, (u_next, y_next) in enumerate(rk45(f, y, u, -last.lam, rtol=rtol, atol=atol)):
        if steps is not None and i >= steps:
            raise RuntimeError(f"steps: {steps} steps reached only sigma = {math.exp(u):.4g}; allow more or a larger rtol")
        t, u, y, point = trajectory.at_s(math.exp(u)).t, u_next, y_next, trajectory.at_s(math.exp(u_next))
        yield Step(i, t, point.alpha * y, seen)
    if trajectory.points[-1] == CLEAN:
        x0, _ = trajectory.denoise(last.alpha * y, last)
        yield Step(i + 1, last.t, x0, x0)


@sampler(order=4, calls=4, paper="Runge and Kutta's method on Karras et al. 2022 (arXiv:2206.00364), eq. 1", **ODE)
def rk4(trajectory):
    """The classical method on the same ODE, steps as given; a step that ends without noise is Euler's.

    x (B, ...) -> yields Step.
    """
    y = trajectory.x / trajectory.first.alpha

    def slope(y, point):
        x0, eps = trajectory.denoise(point.alpha * y, point)
        return x0, point.s * eps

    for i, now, after in trajectory:
        x0, k1 = slope(y, now)
        if after == CLEAN:
            y = x0
        else:
            h, middle = now.lam - after.lam, trajectory.at_lam((now.lam + after.lam) / 2)  # h < 0: u falls as lambda grows
            _, k2 = slope(y + h / 2 * k1, middle)
            _, k3 = slope(y + h / 2 * k2, middle)
            _, k4 = slope(y + h * k3, after)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        yield Step(i, now.t, after.alpha * y, x0)

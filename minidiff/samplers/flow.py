"""Samplers of flows: straight lines from noise to data, in the time of rectified flow.

Divided by alpha + sigma every process is the rectified flow. With y = x / (alpha + sigma) and tau = sigma / (alpha + sigma):

    y = (1 - tau) x0 + tau eps        dy / dtau = eps - x0        the velocity

So these run on every schedule, from pure noise too (tau = 1), and on `Flow` y is x and tau is t.
Lipman et al. 2023 (arXiv:2210.02747); Liu et al. 2023 (arXiv:2209.03003).
"""

import math

from .options import at_least, one_of
from .point import CLEAN
from .registry import sampler
from .trajectory import Step

FLOW = dict(default={"spacing": "linspace", "skip_last": True})
PAPER = "Liu et al. 2023 (arXiv:2209.03003)"
# Explicit Runge-Kutta methods: where each further slope is taken, and the share of each slope in the step. Every slope is
# taken at the point that the slope before it leads to.
METHODS = {
    "euler": ((), (1,)),
    "midpoint": ((1 / 2,), (0, 1)),
    "heun": ((1,), (1 / 2, 1 / 2)),
    "rk4": ((1 / 2, 1 / 2, 1), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


def tau(point):
    """The time of rectified flow, sigma / (alpha + sigma): 0 is clean, 1 is noise."""
    return point.sigma / (point.alpha + point.sigma)


def at_tau(trajectory, value):
    """The point of the trajectory's schedule with this tau, 0 < tau < 1."""
    return trajectory.at_s(value / (1 - value))


@sampler(order=1, calls=1, paper=f"{PAPER}, eq. 1, Euler's method", variants={
    "flow_midpoint": dict(order=2, calls=2, paper=f"{PAPER}, the midpoint method", options=dict(method="midpoint")),
    "flow_heun": dict(order=2, calls=2, paper=f"{PAPER}, Heun's method", options=dict(method="heun")),
    "flow_rk4": dict(order=4, calls=4, paper=f"{PAPER}, Runge and Kutta's method", options=dict(method="rk4")),
}, **FLOW)  # fmt: skip
def flow_euler(trajectory, method: one_of(METHODS) = "euler"):
    """Along the velocity eps - x0, by a Runge-Kutta method: `flow_euler`, `flow_midpoint`, `flow_heun`, `flow_rk4`.

    x (B, ...) -> yields Step. A step that ends without noise is Euler's, which returns the predicted x0; with
    final="sigma_min" every step has the order of the method.

    method   "euler", "midpoint", "heun" or "rk4"
    """
    further, shares = METHODS[method]
    y = trajectory.x / scale(trajectory.first)
    for i, now, after in trajectory:
        h = tau(after) - tau(now)
        x0, slope = velocity(trajectory, y, now)
        if after == CLEAN:
            y = x0
        else:
            total = shares[0] * slope
            for c, share in zip(further, shares[1:], strict=True):
                point = after if c == 1 else at_tau(trajectory, tau(now) + c * h)
                _, slope = velocity(trajectory, y + c * h * slope, point)
                total = total + share * slope
            y = y + h * total
        yield Step(i, now.t, scale(after) * y, x0)


@sampler(order=None, calls=1, deterministic=False, paper="Ma et al. 2024 (arXiv:2401.08740), eq. 5", **FLOW)
def flow_sde(trajectory, eta: at_least(0) = 1.0):
    """The stochastic differential equation with the flow's marginals, by Euler and Maruyama's method.

    x (B, ...) -> yields Step.   dy = (eps - x0) dtau, and on the way down  -eta eps |dtau| + sqrt(2 eta tau) dw

    eta   how much noise is added and removed again; 0 is `flow_euler`. The last step adds none
    """
    y = trajectory.x / scale(trajectory.first)
    for i, now, after in trajectory:
        h = tau(now) - tau(after)
        x0, eps = trajectory.denoise(scale(now) * y, now)
        if after == CLEAN:
            y = x0
        else:
            y = y - h * (eps - x0 + eta * eps)
            if eta > 0:
                y = y + math.sqrt(2 * eta * tau(now) * h) * trajectory.noise()
        yield Step(i, now.t, scale(after) * y, x0)


def scale(point):
    """alpha + sigma, by which x is divided."""
    return point.alpha + point.sigma


def velocity(trajectory, y, point):
    """(x0, eps - x0) at a point: one evaluation of the network."""
    x0, eps = trajectory.denoise(scale(point) * y, point)
    return x0, eps - x0

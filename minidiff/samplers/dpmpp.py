"""DPM-Solver++, multistep: what the network said a step ago stands in for a further evaluation. And its SDE forms."""

import itertools
import math
from typing import NamedTuple

from .dpm_solver import GRID, ORDERS, PAPER_PP, SOLVERS, taylor
from .options import Allowed, between, one_of
from .point import CLEAN
from .registry import sampler
from .trajectory import Step, check_signal

PREDICTIONS, BENDS = ("x0", "eps"), ("exact", "halved")


def check_2m(trajectory, order, interpolates, bend, **own):
    """Raises ValueError for a bend without a second derivative, and for eps, which has lost x0, from pure noise."""
    if bend != "exact" and order < 3:
        raise ValueError(f"bend: got {bend!r}, only valid with order=3")
    if interpolates == "eps":
        check_signal(trajectory)


@sampler(order=2, calls=1, paper=f"{PAPER_PP}, alg. 2", default=GRID, uses="interpolates", check=check_2m, variants={
    "dpmpp_3m": dict(order=3, options=dict(order=3), paper=f"{PAPER_PP}, third order, multistep"),
})  # fmt: skip
def dpmpp_2m(
    trajectory, order: one_of(ORDERS) = 2, solver: one_of(SOLVERS) = "midpoint", interpolates: one_of(PREDICTIONS) = "x0",
    lower_order_final=True, euler_at_final=False, bend: one_of(BENDS) = "exact",
):  # fmt: skip
    """DPM-Solver++ 2M: this step's prediction of the clean image and the last's.   x (B, ...) -> yields Step.

    order              how many predictions enter a step: 1 (which is DDIM), 2 or 3 (`dpmpp_3m`)
    solver             "midpoint" or "heun": two ways to weigh the slope of order 2
    interpolates       which prediction: "x0", or "eps" (DPM-Solver, arXiv:2206.00927, multistep)
    lower_order_final  come down to order 1 over the last steps if there are fewer than 15; a last step that ends without
                       noise always has order 1
    euler_at_final     take the last step with order 1, however many steps there are
    bend               weight of the second derivative with order 3: "exact", or "halved" as in the authors' code and in
                       diffusers, which makes the method second order
    """
    return _multistep(trajectory, interpolates, order, solver, _Lower(lower_order_final, euler_at_final), bend)


@sampler(order=None, calls=1, deterministic=False, paper=f"{PAPER_PP}, SDE-DPM-Solver++(2M)", default=GRID, uses="x0")
def dpmpp_2m_sde(
    trajectory, eta: between(0, 1) = 1.0, order: one_of((1, 2)) = 2, solver: one_of(SOLVERS) = "midpoint",
    lower_order_final=True, euler_at_final=False,
):  # fmt: skip
    """SDE-DPM-Solver++(2M): as `dpmpp_2m`, on the SDE.   x (B, ...) -> yields Step.

    eta        0 is the ODE again, 1 the reverse SDE
    order      1 or 2
    """
    return _multistep(trajectory, "x0", order, solver, _Lower(lower_order_final, euler_at_final), eta=eta)


class _Lower(NamedTuple):
    """When a run comes down to a lower order."""

    final: bool
    euler: bool

    def order(self, most, left, steps, ends_clean):
        """The order of a step with `left` steps to go, itself included, of a run of so many."""
        short = self.final and steps < 15
        if left == 1 and (self.euler or short or ends_clean):
            return 1
        return min(most, 2) if left == 2 and short else most


def _multistep(trajectory, form, order, solver, lower, bend="exact", eta=0.0):
    x, past = trajectory.x, []  # past: (point, prediction), newest first
    for i, now, after in trajectory:
        x0, eps = trajectory.denoise(x, now)
        past = [(now, x0 if form == "x0" else eps), *past[: order - 1]]
        use = lower.order(len(past), len(trajectory) - i, len(trajectory), after.sigma == 0)
        slopes = _slopes(past[:use], after, bend)
        x = taylor(form, x, now, after, past[0][1], *slopes, half=solver == "midpoint" and len(slopes) == 1, eta=eta)
        if eta > 0 and after.sigma > 0:
            x = x + noise_level(now, after, eta) * trajectory.noise()
        yield Step(i, now.t, x, x0)


def _slopes(past, after, bend):
    """First and second derivative at the newest point, by the step's length in lambda: Newton's divided differences.

    past   up to three (point, prediction), newest first   ->   () or (D',) or (D', D'')
    """
    h = after.lam - past[0][0].lam
    gaps = [new[0].lam - old[0].lam for new, old in itertools.pairwise(past)]
    first = [(new[1] - old[1]) * (h / gap) for new, old, gap in zip(past[:-1], past[1:], gaps, strict=True)]
    if len(first) < 2:
        return first
    change = first[0] - first[1]
    return first[0] + gaps[0] / sum(gaps) * change, {"exact": 2.0, "halved": 1.0}[bend] * h / sum(gaps) * change


@sampler(
    order=None, calls=2, deterministic=False, paper=f"{PAPER_PP}, SDE, singlestep; k-diffusion, sample_dpmpp_sde",
    default={"spacing": "karras"}, uses="x0", check=check_signal,
)  # fmt: skip
def dpmpp_sde(trajectory, eta: between(0, 1) = 1.0, r: Allowed("a number between 0 and 1", lambda r: 0 < r < 1) = 0.5):
    """SDE-DPM-Solver++(2S): a second evaluation on the way, a share r of the step further on.   x (B, ...) -> yields Step.

    The noise of the whole step contains the noise that led to the point on the way, so both see one Brownian path.
    """
    x = trajectory.x
    for i, now, after in trajectory:
        x0, _ = trajectory.denoise(x, now)
        if after == CLEAN:
            yield Step(i, now.t, x0, x0)
            return
        middle = trajectory.at_lam(now.lam + r * (after.lam - now.lam))
        noise = noise_level(now, middle, eta) * trajectory.noise()
        x_middle = taylor("x0", x, now, middle, x0, eta=eta) + noise
        x0_middle, _ = trajectory.denoise(x_middle, middle)
        mixed = x0 + (x0_middle - x0) / (2.0 * r)
        kept = after.sigma / middle.sigma * math.exp(-eta * (after.lam - middle.lam))
        noise = kept * noise + noise_level(middle, after, eta) * trajectory.noise()
        x = taylor("x0", x, now, after, mixed, eta=eta) + noise
        yield Step(i, now.t, x, x0)


def noise_level(now, after, eta):
    """Standard deviation of the noise that the SDE adds between two points."""
    return after.sigma * math.sqrt(-math.expm1(-2.0 * eta * (after.lam - now.lam)))

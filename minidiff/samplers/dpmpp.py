"""DPM-Solver++, multistep: what the network said a step ago stands in for a further evaluation. And its SDE forms."""

import math

from .dpm_solver import GRID, PAPER_PP, SOLVERS, taylor
from .registry import sampler
from .stepping import CLEAN, READY, Path, Step, check_choice, check_range, check_signal


@sampler(order=2, calls=1, paper=f"{PAPER_PP}, alg. 2")
def dpmpp_2m(denoiser, x, steps=50, solver="midpoint", lower_order_final=True, rng=None, **stepping):
    """DPM-Solver++ 2M: this step's prediction of the clean picture and the last's.   x (B, ...) -> yields Step.

    solver             "midpoint" or "heun": two ways to weigh the slope, of one order
    lower_order_final  take the last step by itself if there are fewer than 15; one that ends without noise always is
    stepping           see `stepping.Path`
    """
    check_choice("solver", solver, SOLVERS)
    path = Path(denoiser, x, steps, rng=rng, grid=GRID, uses="x0", **stepping)
    yield READY
    yield from _multistep(path, 0.0, solver, lower_order_final)


@sampler(order=None, calls=1, deterministic=False, paper=f"{PAPER_PP}, SDE-DPM-Solver++(2M)")
def dpmpp_2m_sde(denoiser, x, steps=50, eta=1.0, solver="midpoint", lower_order_final=True, rng=None, **stepping):
    """SDE-DPM-Solver++(2M): as `dpmpp_2m`, on the SDE.   x (B, ...) -> yields Step.

    eta        0 is the ODE again, 1 the reverse SDE
    """
    check_range("eta", eta, 0, 1)
    check_choice("solver", solver, SOLVERS)
    path = Path(denoiser, x, steps, rng=rng, grid=GRID, uses="x0", **stepping)
    yield READY
    yield from _multistep(path, eta, solver, lower_order_final)


def _multistep(path, eta, solver, lower_order_final):
    x, before, x0_before = path.x, None, None
    for i, now, after in path:
        x0, _ = path.denoise(x, now)
        last = i == len(path) - 1 and (after.sigma == 0 or (lower_order_final and len(path) < 15))
        if before is None or last:
            slope = None
        else:
            slope = (x0 - x0_before) * ((after.lam - now.lam) / (now.lam - before.lam))
        x = taylor("x0", x, now, after, x0, slope, half=solver == "midpoint", eta=eta)
        if eta > 0 and after.sigma > 0:
            x = x + noise_level(now, after, eta) * path.noise()
        before, x0_before = now, x0
        yield Step(i, now.t, x, x0)


@sampler(order=None, calls=2, deterministic=False, paper=f"{PAPER_PP}, SDE, singlestep; k-diffusion, sample_dpmpp_sde")
def dpmpp_sde(denoiser, x, steps=50, eta=1.0, r=0.5, rng=None, **stepping):
    """SDE-DPM-Solver++(2S): a second evaluation on the way, a share r of the step further on.   x (B, ...) -> yields Step.

    The noise of the whole step contains the noise that led to the point on the way, so both see one Brownian path.
    """
    check_range("eta", eta, 0, 1)
    if not 0 < r < 1:
        raise ValueError(f"r: got {r}, expected a number between 0 and 1")
    path = check_signal(Path(denoiser, x, steps, rng=rng, grid={"spacing": "karras"}, uses="x0", **stepping))
    yield READY
    x = path.x
    for i, now, after in path:
        x0, _ = path.denoise(x, now)
        if after == CLEAN:
            yield Step(i, now.t, x0, x0)
            return
        middle = path.at_lam(now.lam + r * (after.lam - now.lam))
        noise = noise_level(now, middle, eta) * path.noise()
        x_middle = taylor("x0", x, now, middle, x0, eta=eta) + noise
        x0_middle, _ = path.denoise(x_middle, middle)
        mixed = x0 + (x0_middle - x0) / (2.0 * r)
        kept = after.sigma / middle.sigma * math.exp(-eta * (after.lam - middle.lam))
        noise = kept * noise + noise_level(middle, after, eta) * path.noise()
        x = taylor("x0", x, now, after, mixed, eta=eta) + noise
        yield Step(i, now.t, x, x0)


def noise_level(now, after, eta):
    """Standard deviation of the noise that the SDE adds between two points."""
    return after.sigma * math.sqrt(-math.expm1(-2.0 * eta * (after.lam - now.lam)))

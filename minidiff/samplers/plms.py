"""PNDM: DDIM's step, taken with a better noise: an average over the step (Runge-Kutta) or over past steps (multistep)."""

from ..diffusion.denoiser import from_x0_eps, to_x0_eps
from .options import one_of
from .registry import sampler
from .trajectory import Step, check_signal

WARM_UPS, MIXES = ("runge-kutta", "none"), ("eps", "v")
ADAMS_BASHFORTH = {  # weights of this prediction, the one before it, ...
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def check_mix(trajectory, mix, **own):
    """Raises ValueError for eps, which has lost x0, from pure noise."""
    if mix == "eps":
        check_signal(trajectory)


@sampler(order=2, calls=1, paper="PNDM, Liu et al. 2022 (arXiv:2202.09778), alg. 2", uses="eps", check=check_mix)
def plms(trajectory, warm_up: one_of(WARM_UPS) = "runge-kutta", mix: one_of(MIXES) = "eps", *, stride=None):
    """Pseudo linear multistep, after a warm-up.   x (B, ...) -> yields Step.   Algorithm 2, equations 9, 12 and 13.

    The weights are those of evenly spaced steps and a plain ODE, hence "pseudo", and second order (the paper, theorem).

    warm_up    "runge-kutta": three pseudo Runge-Kutta steps of four evaluations (PNDM); "none": one step is taken twice,
               then as many past predictions as there are (the "PLMS" of Stable Diffusion; skip_prk_steps in diffusers)
    mix        what is averaged: "eps" (the paper), or "v" as diffusers does for networks that predict v
    stride     None: a step ends where the next one begins. A whole number: it ends so many steps lower, wherever the next
               one begins; on uneven times that is wrong, and it is what diffusers does
    `clip` also changes the noise that goes with the clipped image.
    """
    x, past = trajectory.x, []

    def ask(x, point):
        x0, eps = trajectory.denoise(x, point)
        return x0, from_x0_eps(x0, eps, point.alpha, point.sigma, mix)

    for i, now, after in trajectory:
        x0, output = ask(x, now)
        past = [output, *past[:3]]
        begin, end = now, after if stride is None else trajectory.below(now, stride)
        last = i == len(trajectory) - 1
        if warm_up == "runge-kutta" and len(past) < 4 and not last:
            end = after
            half = _half(now.t - after.t if stride is None else stride)
            middle, told = trajectory.at(now.t - half), trajectory.at(now.t - half if stride is None else after.t + half)
            output2 = ask(_ddim(x, output, now, middle, mix), told)[1]
            output3 = ask(_ddim(x, output2, now, told, mix), told)[1]
            output4 = ask(_ddim(x, output3, now, after, mix), after)[1]
            mixed = (output + 2 * output2 + 2 * output3 + output4) / 6
        elif warm_up == "none" and len(past) == 1 and not last:
            output2 = ask(_ddim(x, output, now, end, mix), after)[1]
            mixed = (output + output2) / 2
            begin, end = now if stride is None else trajectory.at(after.t + stride), after
        else:
            mixed = sum(w * p for w, p in zip(ADAMS_BASHFORTH[len(past)], past, strict=True))
        x = _ddim(x, mixed, begin, end, mix)
        yield Step(i, now.t, x, x0)


def _ddim(x, output, now, after, mix):
    """The transfer part: a DDIM step with this output. Equation 9."""
    x0, eps = to_x0_eps(output, x, now.alpha, now.sigma, mix)
    return after.alpha * x0 + after.sigma * eps


def _half(gap):
    return gap // 2 if isinstance(gap, int) else gap / 2

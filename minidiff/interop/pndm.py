"""PNDM from the middle of a run, as in diffusers' image-to-image pipelines.

Without Runge-Kutta steps PNDM visits its second timestep twice; diffusers' scheduler tracks this by counting calls. A run that
starts in the middle starts the count there, so its first step is taken twice, and the sample is then one timestep ahead of the
model's time input. `samplers.plms(start=...)` does not do this. This file does, so that an opened folder gives the same image.
"""

from ..diffusion.denoiser import from_x0_eps, to_x0_eps
from ..diffusion.spacing import spaced_steps
from ..samplers import Step, Trajectory
from ..samplers.plms import ADAMS_BASHFORTH


def pndm_on_the_way(
    denoiser, x, steps, start, spacing="leading", offset=0, mix="eps", warm_up="none", stride=None, rng=None, **stepping
):
    """Step by step as `samplers.plms` with warm_up="none" and its arguments.   x (B, ...): clean, noised here

    start   place in the scheduler's list of times, which has the second one twice; at least 1
    """
    times = [int(t) for t in spaced_steps(denoiser.schedule, steps, spacing, offset)]
    times = [*times[:2], *times[1:]][start:]
    stride = stride or denoiser.schedule.T // steps
    trajectory = Trajectory(denoiser, x, list(dict.fromkeys(times)), rng=rng, uses="eps", **stepping | {"start": 0})

    def ask(x, t):
        point = trajectory.at(t)
        x0, eps = trajectory.denoise(x, point)
        return x0, from_x0_eps(x0, eps, point.alpha, point.sigma, mix)

    def move(x, output, now, after):  # DDIM's step
        x0, eps = to_x0_eps(output, x, now.alpha, now.sigma, mix)
        return after.alpha * x0 + after.sigma * eps

    def below(t):
        return trajectory.at(t - stride) if t >= stride else trajectory.points[-1]

    x, past, first = trajectory.x, [], trajectory.x
    for i, t in enumerate(times):
        x0, output = ask(x, t)
        if i == 1:
            x = move(first, (past[0] + output) / 2, trajectory.at(t + stride), trajectory.at(t))
        else:
            past = [output, *past[:3]]
            mixed = sum(w * p for w, p in zip(ADAMS_BASHFORTH[len(past)], past, strict=True))
            x = move(x, mixed, trajectory.at(t), below(t))
        yield Step(i, t, x, x0)

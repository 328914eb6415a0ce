"""Which steps of a long schedule a short sampler visits.

A network trained on T steps is sampled with far fewer. The names are those of Lin et al. 2024 (arXiv:2305.08891,
table 2); "quadratic" is from DDIM (arXiv:2010.02502, appendix D.2); "karras", "exponential", "lu" and "beta" choose noise
levels first and give the real-valued t that has them.
"""

import numpy as np

from ..names import check_choice
from .sigmas import LEVEL_RULES, schedule_sigmas, t_of_sigma

SPACINGS = ("leading", "linspace", "trailing", "quadratic", *LEVEL_RULES)


def spaced_steps(schedule, steps, spacing="leading", offset=0, skip_last=False, whole=True):
    """Steps of a schedule, the noisiest first.   -> int64 (steps,), strictly descending; float64 where t is real-valued

    schedule   a Schedule, or its T as a whole number (the spacings by noise level need the Schedule itself)
    steps      how many, 1 to T
    spacing    leading      0, r, 2r, ... with r = T // steps: ends at 0, may start far below T - 1
               linspace     both ends: 0 and T - 1
               trailing     T - 1, T - 1 - T / steps, ...: starts at T - 1, ends above 0
               quadratic    denser near 0: squares of a straight line up to sqrt(0.8 T), rounded down, and kept apart by one
               karras, exponential, beta    real-valued t at these noise levels, see diffusion.sigmas; "lu" is "exponential"
    offset     added to each step of "leading" (1 for Stable Diffusion)
    skip_last  one point more is laid out and the last left off, as the DPM-Solver and UniPC schedulers of diffusers do
    whole      False leaves "linspace" unrounded (float64), as diffusers' sigma-space schedulers do

    Raises ValueError for steps below 1 or above T, for an unknown spacing, and for an offset that leaves the schedule.
    """
    T = schedule if isinstance(schedule, (int, np.integer)) else schedule.T
    check_steps(steps, T)
    check_choice("spacing", spacing, SPACINGS)
    if spacing in LEVEL_RULES:
        if isinstance(schedule, (int, np.integer)):
            raise ValueError(f"spacing {spacing!r} chooses noise levels: pass the Schedule, not T alone")
        levels = schedule_sigmas(schedule)
        return t_of_sigma(schedule, LEVEL_RULES[spacing](levels[0], levels[-1], steps))
    points = steps + 1 if skip_last and spacing in ("leading", "linspace") else steps
    if spacing == "leading":
        t = np.arange(points) * (T // points) + offset
    elif spacing == "linspace":
        t = np.linspace(0, T - 1, points)
        t = np.round(t) if whole else t
    elif spacing == "trailing":
        t = np.round(np.arange(T, 0, -T / steps))[:steps][::-1] - 1  # cut: arange may come out one longer, at t = -1
    else:
        t = np.floor(np.linspace(0, (0.8 * T) ** 0.5, points) ** 2)
        t = np.maximum(t, np.arange(points))  # rounding down visits some small steps twice; the paper's code does so
    t = t[::-1][:steps]
    t = np.array(t, dtype=np.float64 if spacing == "linspace" and not whole else np.int64)
    if t[0] > T - 1 or t[-1] < 0:
        raise ValueError(f"offset: got {offset}, which moves the steps to {t[-1]} .. {t[0]}, outside 0 .. {T - 1}")
    if (t[:-1] <= t[1:]).any():
        raise ValueError(f"steps: {steps} steps with {spacing!r} spacing on T = {T} visit a step twice: use fewer")
    return t


def check_steps(steps, T):
    """Raises ValueError unless steps is a whole number from 1 to T."""
    if not isinstance(steps, (int, np.integer)) or isinstance(steps, bool) or not 1 <= steps <= T:
        raise ValueError(f"steps: got {steps!r}, expected a whole number from 1 to T = {T}")

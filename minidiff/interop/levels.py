"""The noise levels that a scheduler of diffusers visits in a run of so many steps, and the times it tells the model.

Most of its schedulers keep these two lists apart: with Karras levels the time is rounded, with exponential ones it is cut,
and some visit levels between two whole steps. `levels_of` works both lists out, class by class; a run then follows them.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..diffusion import Schedule
from ..diffusion.sigmas import LEVEL_RULES, schedule_sigmas
from ..diffusion.spacing import spaced_steps
from .level_times import limits_of_levels, times_of_levels
from .scheduler_options import RULES, SIGMA_SPACE

WHOLE_STEPS = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler")  # these take both lists from the schedule as it is


@dataclass(frozen=True)
class Levels:
    """The noise levels of one sampling run.

    model_t   time input of the model, (n,), the noisiest step first
    s         sigma / alpha at each step, (n,), strictly descending
    last      sigma / alpha where the run ends; 0 is a finished image
    unit      standard deviation of the noise that the run starts from
    end       factor for the last sample
    """

    model_t: np.ndarray
    s: np.ndarray
    last: float
    unit: float
    end: float

    def schedule(self):
        """A Schedule whose whole steps are these levels, and the positions of the run in it, descending.

        Where the run ends above 0 that level is step 0.
        """
        ends_between = 0 < self.last < self.s[-1]
        s = np.concatenate([[self.last] if ends_between else [], self.s[::-1]])
        before = np.concatenate([[0.0], s[:-1]])
        schedule = Schedule.from_betas((s**2 - before**2) / (1 + s**2), "levels")
        object.__setattr__(schedule, "alpha_bar", 1 / (1 + s**2))  # their product, without its rounding
        return schedule, np.arange(len(s))[::-1][: len(self.s)]

    def times(self):
        """`model_t` by position in `schedule()`: float64, or int64 where all of them are whole."""
        model_t = self.model_t[::-1]
        model_t = np.concatenate([model_t[:1], model_t]) if 0 < self.last < self.s[-1] else model_t
        return model_t.astype(np.int64) if (model_t == np.round(model_t)).all() else model_t


def levels_of(name, full, schedule, steps, where):
    """The Levels of a class with all its options, for a number of steps. Raises ValueError where a level comes twice."""
    all_s, in_sigma_space = _sigmas(full, schedule), name in SIGMA_SPACE
    times = _visited(name, full, all_s, steps)
    s, last = np.interp(times, np.arange(schedule.T), all_s), 0.0
    if full.get("final_sigmas_type") == "sigma_min":
        last = float(all_s[0])
    if full.get("interpolation_type") == "log_linear":
        s = np.exp(np.linspace(math.log(all_s[-1]), math.log(all_s[0]), steps + 1))
        s, last = s[:-1], float(s[-1])
    rule = next((ours for theirs, ours in RULES.items() if full.get(theirs)), None)
    if rule:
        ends = (0, schedule.T - 1)
        if in_sigma_space and full.get("interpolation_type") != "log_linear":
            ends = (times[-1], times[0])
        low, high = limits_of_levels(name, full, rule, all_s, ends)
        s = LEVEL_RULES[rule](low, high, steps)
        times = times_of_levels(name, full, rule, steps, ends)
        last = 0.0 if full.get("final_sigmas_type", "zero") == "zero" else float(all_s[0])
        if name == "UniPCMultistepScheduler":
            last = min(last, float(s[-1])) if last == 0 else float(s[-1])
        if not in_sigma_space:
            rounds = rule in ("karras", "lu")
            if name == "DPMSolverMultistepScheduler" and full["beta_schedule"] == "squaredcos_cap_v2":
                rounds = False
            times = np.round(times) if rounds else np.floor(times)
    if full.get("timestep_type") == "continuous" and full["prediction_type"] == "v_prediction":
        if full.get("interpolation_type") == "log_linear" and not rule and full["final_sigmas_type"] == "zero":
            s, last = np.append(s, last), 0.0  # diffusers calls the model at the lowest level too: one step more
        times = 0.25 * np.log(s)
    if not (s[:-1] > s[1:]).all():
        raise ValueError(f"steps: {steps} steps with timestep_spacing of {where} visit a noise level twice: use fewer")
    if last > s[-1] * (1 + 1e-9):
        raise ValueError(f"{where}: sigma_min is {full['sigma_min']!r}, below {last:.6g} where final_sigmas_type ends the run")
    unit = 1.0
    if in_sigma_space and full["timestep_spacing"] != "leading":  # its classes leave out the 1 of unit data
        unit = float(s[0] / math.sqrt(1 + s[0] ** 2))
    end = math.sqrt(1 + last**2) if in_sigma_space else 1.0  # x / alpha is what they hand over
    return Levels(np.asarray(times, dtype=np.float64), s, last, unit, end)


def _visited(name, full, all_s, steps):
    """The steps of the schedule that timestep_spacing gives."""
    T, spacing, offset = len(all_s), full.get("timestep_spacing", "linspace"), full.get("steps_offset", 0)
    offset = offset if spacing == "leading" else 0
    if name in SIGMA_SPACE:
        return spaced_steps(T, steps, spacing, offset, whole=False)
    cut = T - int((-np.log(all_s) < float(full["lambda_min_clipped"])).sum()) if "lambda_min_clipped" in full else T
    if spacing == "trailing" and cut < T:
        times = np.round(np.arange(cut, 0, -T / steps)) - 1
        return times[times >= 0]
    if steps == cut and spacing != "trailing":
        raise ValueError(f"steps: got {steps}, expected fewer than {cut}: {name} lays out one time more than it visits")
    return spaced_steps(cut, steps, spacing, offset, skip_last=True)


def _sigmas(full, schedule):
    """sigma / alpha at every whole step, (T,). With zero terminal SNR these classes put alpha_bar = 2^-24 at the last one."""
    s = schedule_sigmas(schedule)
    if full.get("rescale_betas_zero_snr"):
        s[-1] = np.sqrt((1 - 2.0**-24) / 2.0**-24)
    return s

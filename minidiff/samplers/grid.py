"""Which points a run visits, and where it ends."""

import itertools
import math

import numpy as np

from ..diffusion.sigmas import LEVEL_RULES
from ..diffusion.spacing import SPACINGS, check_steps, spaced_steps
from ..names import check_choice
from .options import pure_noise
from .point import CLEAN

FINALS = ("zero", "sigma_min")
# The spacings that a detail has an effect on.
FITS = {"offset": ("leading",), "skip_last": ("leading", "linspace"), "rho": ("karras",)}


def grid(
    curve, steps, default=None, *, spacing=None, offset=None, skip_last=None, whole=None, sigmas=None, final=None, rho=None
):
    """The points of a run, from noisy to clean.   -> list of Point, one more than there are steps

    curve       the Curve to choose from;   the others: see `Trajectory`, "Which points". Raises ValueError as there.
    """
    default = default or {}
    check_choice("final", final or FINALS[0], FINALS)
    given = {"spacing": spacing, "offset": offset, "skip_last": skip_last, "whole": whole, "rho": rho}
    if sigmas is not None:
        reject(given | {"final": final}, "sigmas, which name every noise level")
        return _from_sigmas(curve, sigmas)
    if np.ndim(steps) == 1:
        reject(given, "steps as a list of times")
        times = np.asarray(steps)
        if len(times) == 0 or not (times[:-1] > times[1:]).all():
            raise ValueError(f"steps: got the times {times}, expected at least one, descending")
    else:
        times = _spaced(curve, steps, given, **(default | {k: v for k, v in given.items() if v is not None}))
    last = curve.at(curve.t_min) if (final or default.get("final")) == "sigma_min" else CLEAN
    return [curve.at(t) for t in times] + [last]


def reject(given, what):
    """Raises ValueError for the first option that is given although `what` takes its place."""
    for option, value in given.items():
        if value is not None:
            raise ValueError(f"{option}: got {value!r}, which cannot be combined with {what}")


def _spaced(curve, steps, given, spacing=None, offset=0, skip_last=False, whole=True, rho=7.0, final=None):
    T = curve.T
    spacing = spacing or ("leading" if T else "linspace")
    check_choice("spacing", spacing, SPACINGS if T else ("linspace", *LEVEL_RULES))
    for option, spacings in FITS.items():
        if given[option] and spacing not in spacings:
            valid = " or ".join(map(repr, spacings))
            raise ValueError(f"{option}: got {given[option]!r} with spacing {spacing!r}, only valid with spacing {valid}")
    if given["whole"] is False and not T:
        raise ValueError("whole: got False, which is only valid with a Schedule: a process has real-valued times anyway")
    check_steps(steps, T or math.inf)
    if spacing in LEVEL_RULES:
        if curve.s_max == math.inf:
            raise ValueError(pure_noise(f"spacing {spacing!r}"))
        bend = {"rho": rho} if spacing == "karras" else {}
        levels = LEVEL_RULES[spacing](curve.at(curve.t_min).s, curve.s_max, steps, **bend)
        return curve.schedule.t_of_log_snr(-2.0 * np.log(levels)).clip(curve.t_min, curve.t_max)
    if T:
        skip_last = skip_last and steps != T  # all the steps there are leave none to end on
        return spaced_steps(curve.schedule, steps, spacing, offset, skip_last, whole)
    times = np.linspace(curve.t_max, curve.t_min, steps + skip_last)[:steps]
    return curve.schedule.shifted(times) if hasattr(curve.schedule, "shifted") else times


def _from_sigmas(curve, sigmas):
    levels = [float(s) for s in sigmas]
    falls = all(a > b for a, b in itertools.pairwise(levels))
    if len(levels) < 2 or not falls or levels[-1] < 0:
        raise ValueError(f"sigmas: got {sigmas}, expected at least two noise levels, descending, none negative")
    points = [curve.at_s(s) for s in levels]
    for s, point in zip(levels, points, strict=True):
        if abs(s - point.s) > 1e-6 * s:
            low, high = curve.at(curve.t_min).s, curve.s_max
            raise ValueError(f"sigmas: got {s}, but this schedule's noise levels go from {low:.6g} to {high:.6g}")
    return points

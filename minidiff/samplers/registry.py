"""The list of samplers, and how a function of a trajectory becomes one that users call."""

import functools
import inspect
from dataclasses import dataclass, replace
from typing import Any

from ..names import did_you_mean
from .grid import grid
from .not_finite import watched
from .options import Allowed
from .trajectory import Trajectory

SAMPLERS = {}
# The options that every sampler takes, with their defaults: those of a trajectory but for what a sampler sets itself.
STEPPING = {
    p.name: p.default
    for part in (grid, Trajectory)
    for p in inspect.signature(part).parameters.values()
    if p.kind is p.KEYWORD_ONLY and p.name != "uses"
}


@dataclass(frozen=True)
class Sampler:
    """One row of the list.

    name            its name in `sample` and on the command line
    function        function(denoiser, x, steps=, ...) -> generator of Step
    order           order of convergence in the number of steps, on a smooth problem; None where it has no clear order
    deterministic   adds no noise
    calls           network evaluations per step
    steps           default number of steps; None: all T
    paper           source
    """

    name: str
    function: Any
    order: int | None
    deterministic: bool
    calls: int | str
    steps: int | None
    paper: str

    def check(self, options):
        """Raises ValueError for an option that the sampler does not have, with the nearest names. Runs nothing."""
        self.function.check(options)


def sampler(order, calls, paper, deterministic=True, steps=50, variants=None, **how):
    """Decorator: put a function of a trajectory on the list, as `walks` makes it.

    variants   further names for the function with some options fixed:   {name: dict(order=, calls=, options=dict(...))}
    """

    def decorate(function):
        public = walks(steps=steps, **how)(function)
        row = SAMPLERS[function.__name__] = Sampler(function.__name__, public, order, deterministic, calls, steps, paper)
        for name, change in (variants or {}).items():
            fixed = walks(name, change.pop("options"), steps, **how)(function)
            SAMPLERS[name] = replace(row, name=name, function=fixed, **change)
        return public

    return decorate


def walks(name=None, fixed=None, steps=50, default=None, uses="both", check=None, rejects=None):
    """Decorator: a function (trajectory, own options) -> generator of Step becomes (denoiser, x, steps, ...) -> generator.

    All arguments are checked when it is called, and its samples are watched for NaN.

    fixed           options that are part of the name, such as the order of "dpmpp_3s"
    steps           default number; None: all T. A function with a parameter `steps` chooses its steps
                    itself, and its trajectory has two: the ends
    default, uses   see `Trajectory`; uses may also name the own option that says which prediction it is
    check           check(trajectory, **own options) raises ValueError for options that do not go together
    rejects         {option of the trajectory: why this sampler cannot take it}
    """
    fixed, rejects = fixed or {}, rejects or {}

    def decorate(function):
        called, signature = name or function.__name__, _signature(function, steps, fixed)
        own, named = list(inspect.signature(function).parameters)[1:], list(signature.parameters)[:-1]
        known = [option for option in dict.fromkeys((*named[2:], *STEPPING)) if option not in fixed]
        allowed = {p.name: p.annotation for p in signature.parameters.values() if isinstance(p.annotation, Allowed)}

        def check_options(options):
            check_names(called, [option for option in options if option not in named], known)
            for option, why in rejects.items():
                if options.get(option, STEPPING[option]) is not STEPPING[option]:
                    raise ValueError(f"{option}: {why.format(options[option])}")
            for option, value in options.items():
                if option in fixed and value != fixed[option]:
                    has = f"{called} has {option}={fixed[option]!r}; use {function.__name__}"
                    raise ValueError(f"{option}: got {value!r}, but {has}")
                if option in allowed:
                    allowed[option].check(option, value)

        @functools.wraps(function)
        def call(*args, **options):
            bound = signature.bind(*args, **options)
            bound.apply_defaults()
            given = bound.arguments
            options = given.pop("stepping")
            check_options(options | given)
            mine = {option: given.pop(option) for option in own}
            if given.setdefault("steps", 2) is None and steps is None:
                given["steps"] = _all(given["denoiser"])
            trajectory = Trajectory(**given, **options, default=default, uses=mine.get(uses, uses))
            if check:
                check(trajectory, **mine)
            return watched(function(trajectory, **mine), called, given["x"], options.get("graph", True))

        call.check, call.__signature__ = check_options, signature
        call.__doc__ = (function.__doc__ or "").rstrip() + "\n\n    stepping   options of every sampler: see `Trajectory`\n    "
        return call

    return decorate


def check_names(name, options, known):
    """Raises ValueError, with the nearest names, for an option that the sampler of this name does not have."""
    for option in options:
        if option not in known:
            raise ValueError(f"{option}: {name} has no such option; it has {', '.join(known)}{did_you_mean(option, known)}")


def _signature(function, steps, fixed):
    """(denoiser, x, steps, own options, rng, own options that take a keyword, **stepping)"""
    own = [p.replace(default=fixed.get(p.name, p.default)) for p in inspect.signature(function).parameters.values()][1:]
    common = inspect.signature(lambda denoiser, x, steps, rng=None, **stepping: None)
    denoiser, x, number, rng, stepping = common.parameters.values()
    number = [] if "steps" in (p.name for p in own) else [number.replace(default=steps)]
    by_place, by_keyword = ([p for p in own if (p.kind is p.KEYWORD_ONLY) == keyword] for keyword in (False, True))
    return inspect.Signature([denoiser, x, *number, *by_place, rng, *by_keyword, stepping])


def _all(denoiser):
    T = getattr(getattr(denoiser, "schedule", None), "T", None)
    if T is None:
        raise ValueError("steps: this schedule has no number of steps, so pass one")
    return T


def find(name):
    """The row of this name. Raises ValueError, with the nearest names, for one that is not on the list."""
    if name not in SAMPLERS:
        raise ValueError(f"sampler: got {name!r}{did_you_mean(name, SAMPLERS) or ', expected one of ' + ', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def table():
    """The list as lines of text, under a heading."""
    rows = [("name", "order", "noise", "calls a step", "paper")]
    for row in SAMPLERS.values():
        order = "-" if row.order is None else str(row.order)
        rows.append((row.name, order, "no" if row.deterministic else "yes", str(row.calls), row.paper))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return ["  ".join([cell.ljust(w) for cell, w in zip(row, widths, strict=False)] + [row[4]]) for row in rows]

"""The list of samplers: what each is called, what it costs, and where it comes from."""

import functools
import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..names import did_you_mean
from .not_finite import watched
from .stepping import Path

SAMPLERS = {}
# The options that every sampler takes: those of `stepping.Path` but for what a sampler adds itself.
STEPPING = [p.name for p in inspect.signature(Path).parameters.values() if p.kind is p.KEYWORD_ONLY]
STEPPING = [option for option in STEPPING if option not in ("grid", "uses")]


@dataclass(frozen=True)
class Sampler:
    """One row of the list.

    name            what `sample` and the command line call it
    function        function(denoiser, x, steps=, ...) -> generator of Step
    order           order of convergence in the number of steps, on a smooth problem; None where there is none to speak of
    deterministic   no noise is added on the way
    calls           evaluations of the network a step
    steps           how many steps it takes unless told otherwise; None: all T of them
    paper           where it comes from
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


def sampler(order, calls, paper, deterministic=True, steps=50, **variants):
    """Decorator: put a generator function on the list, and have it check its arguments when it is called.

    A generator runs nothing until it is first asked. So a sampler yields READY once its arguments are checked, and this
    decorator runs it that far: a mistake is an error where it was made, not later in somebody's loop.

    variants   further names for the function with some options fixed:   name=dict(order=, calls=, options=dict(...))
    """

    def decorate(function):
        checked = eager(function)
        row = Sampler(function.__name__, checked, order, deterministic, calls, steps, paper)
        SAMPLERS[row.name] = row
        for name, change in variants.items():
            options = change.pop("options")
            fixed = eager(function, name, options)
            SAMPLERS[name] = Sampler(**{**vars(row), "name": name, "function": fixed, **change})
        return checked

    return decorate


def eager(function, name=None, fixed=None):
    """A generator function that checks its arguments when it is called, and whose samples are watched for NaN.

    fixed   options that are part of the name, such as the order of "dpmpp_3s"
    """
    name, fixed = name or function.__name__, fixed or {}
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    known = [option for option in dict.fromkeys((*named[2:], *STEPPING)) if option not in fixed]

    def check(options):
        for option, value in options.items():
            if option in fixed and value != fixed[option]:
                raise ValueError(f"{option}: got {value!r}, but {name} has {option}={fixed[option]!r}; use {function.__name__}")
            if option not in (*named, *known):
                raise ValueError(f"{option}: {name} has no such option; it has {', '.join(known)}{did_you_mean(option, known)}")

    @functools.wraps(function)
    def call(*args, **options):
        check(options)
        run = function(*args, **(options | fixed))
        next(run)
        x = args[1] if len(args) > 1 else options[named[1]]
        on_device = not isinstance(x, np.ndarray)
        if on_device and options.get("graph", True) is None:  # somebody records the run, and nothing may wait for it
            return run
        return watched(run, name, last_only=on_device)

    call.check = check
    return call


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

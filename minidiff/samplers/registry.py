"""The list of samplers: what each is called, what it costs, and where it comes from."""

import functools
from dataclasses import dataclass
from typing import Any

from ..diffusion.names import did_you_mean

SAMPLERS = {}


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
            fixed = functools.update_wrapper(functools.partial(checked, **options), checked)
            SAMPLERS[name] = Sampler(**{**vars(row), "name": name, "function": fixed, **change})
        return checked

    return decorate


def eager(function):
    """A generator function that runs as far as its first yield when it is called."""

    @functools.wraps(function)
    def call(*args, **options):
        run = function(*args, **options)
        next(run)
        return run

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

"""Shares the rows of a batch among the ranks of an MPI job: every rank computes its part and receives all of the output."""

import numpy as np

from ...backend import module_of
from ...finite import NotFiniteLoss
from ...settings import is_no_grad, setting
from ...thread_team import get_threads
from ...tree import tree_map
from ..arena import Arena
from ..errors import NotFinite
from .messages import messages_for
from .rows import rows_of, settings_for


class Ranks:
    """The ranks of `world`, each with the whole `module`. Weights stay equal, because every rank adds up the same gradients
    and takes the same step.

    The Params move to an arena in the first pass that has a way back: to sample from a large model takes no second copy.

    An error in one part is raised on every rank, and names the rank where it came up: no rank waits for that part.
    """

    def __init__(self, world, module):
        self.world, self.module, self.count, self.alive = world, module, world.size, True
        self.xp = module_of(module.device)
        self.messages = messages_for(world, self.xp)

    def forward(self, call, parts, run, arguments):
        """This rank's part of the rows.   -> y, back: see `data_parallel`"""
        total, idle = parts[-1].stop, self.world.rank >= len(parts)
        mine = parts[0 if idle else self.world.rank]  # an idle rank draws the numbers of dropout too, so all stay in step
        rows_of(arguments, mine, total, self.xp)  # raises NotByRows on all ranks or on none

        def part(run, arguments):
            with setting(**settings_for(mine, total, get_threads())):
                return run(rows_of(arguments, mine, total, self.xp))

        arena = None if is_no_grad() else Arena.of(self.module)
        answer, error = _attempt(part, run, arguments)
        y, back_own = answer or (None, None)
        del answer

        def back(*gradients):
            self._leave_to_rank_0(arena)
            dx, error = (None, None) if idle else _attempt(part, lambda mine: back_own(*mine), gradients)
            try:
                described = self._described(dx, error, parts)
            except BaseException:
                arena.grads.fill(0)
                raise
            self.messages.add(arena.grads)
            return self._gathered(dx, described, parts)

        return self._gathered(y, self._described(y, error, parts), parts), back

    def add_up(self, work):
        """work() of every rank that has some (None: idle) adds to the gradients, and gives a number.   -> the numbers' sum

        Every p.grad has been added to by all ranks then.
        """
        arena = Arena.of(self.module)
        self._leave_to_rank_0(arena)
        number, error = (0.0, None) if work is None else _attempt(work)
        if self.world.any(error is not None):
            arena.grads.fill(0)
            found = self.world.comm.allgather(error)
            found[self.world.rank] = error
            _raise_failed(found)
        total = self.xp.zeros(1, np.float64)
        total += number
        self.messages.add(total)
        self.messages.add(arena.grads)
        return total[0]

    def _leave_to_rank_0(self, arena):
        """What earlier passes left in the gradients, all ranks hold: rank 0 alone adds it."""
        if self.world.rank:
            arena.grads.fill(0)

    def forget(self, call):
        """Nothing is kept for a call but its `back`."""

    def close(self):
        self.alive = False

    def _described(self, answer, error, parts):
        """What rank 0 answered, with a Described in place of each array. Raises RuntimeError where a rank has failed."""
        mine = error or tree_map(lambda a: Described(a) if isinstance(a, self.xp.ndarray) else a, answer)
        found = self.world.comm.allgather(mine)
        found[self.world.rank] = mine
        _raise_failed(found)
        for answer, part in zip(found, parts, strict=False):
            tree_map(lambda a, n=part.stop - part.start: isinstance(a, Described) and a.check(n), answer)
        return found[0]

    def _gathered(self, answer, described, parts):
        """The answers of all ranks, their arrays one below the other, in the order of the ranks."""
        rows = [part.stop - part.start for part in parts] + [0] * (self.count - len(parts))

        def gather(first, *own):
            if not isinstance(first, Described):
                return first
            return self.messages.gather(own[0] if own else self.xp.empty((0, *first.shape[1:]), first.dtype), rows)

        return tree_map(gather, described, *([answer] if rows[self.world.rank] else []))


class Described:
    """Shape and dtype of an array on another rank."""

    def __init__(self, array):
        self.shape, self.dtype = array.shape, array.dtype

    def check(self, n):
        """Raises ValueError unless it has n rows."""
        if self.shape[:1] != (n,):
            raise ValueError(f"the module gave an array of shape {self.shape} for {n} examples, expected {n} rows")


class Failed:
    """The error of a rank, in words for the others."""

    def __init__(self, error):
        self.message, self.error = f"{type(error).__name__}: {error}", error
        self.value = error.value if isinstance(error, (NotFiniteLoss, NotFinite)) else None  # of the loss

    def __getstate__(self):
        return vars(self) | {"error": None}  # an exception may hold what cannot be sent


def _raise_failed(found):
    """Raises the error of the first rank that has Failed: as NotFiniteLoss, or as a RuntimeError that names the rank."""
    for rank, answer in enumerate(found):
        if isinstance(answer, Failed):
            message = f"rank {rank} failed: {answer.message}"
            kind = RuntimeError(message) if answer.value is None else NotFiniteLoss(message, answer.value)
            raise kind from answer.error


def _attempt(function, *arguments):
    """(result, None), or (None, Failed)."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, Failed(error)

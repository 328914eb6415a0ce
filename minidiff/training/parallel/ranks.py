"""Shares the rows of a batch among the ranks of an MPI job: every rank computes its part and receives all of the output."""

import numpy as np

from ...settings import is_no_grad, setting
from ...thread_team import get_threads
from ...tree import tree_map
from .messages import messages_for
from .rows import rows_of, settings_for


class Ranks:
    """The ranks of `world`, each with the whole model in `arena`. Weights stay equal, because every rank adds up the same
    gradients and takes the same step.

    A part that fails fails on every rank, with an error that names the rank: no rank waits for it.
    """

    def __init__(self, world, arena):
        self.world, self.arena, self.count, self.alive = world, arena, world.size, True
        self.messages = messages_for(world, arena.xp)

    def forward(self, call, parts, run, arguments):
        """This rank's part of the rows.   -> y, back: see `data_parallel`"""
        total, mine = parts[-1].stop, parts[self.world.rank] if self.world.rank < len(parts) else None
        tree_map(lambda a: None, rows_of(arguments, slice(0, 0), total, self.arena.xp))  # raises on all ranks or on none

        def part(run, arguments):
            if mine is None:
                return None
            with setting(**settings_for(mine, total, get_threads())):
                return run(rows_of(arguments, mine, total, self.arena.xp))

        kept, error = _attempt(part, run, arguments)
        y, back_own = kept or (None, None)
        del kept
        if is_no_grad():
            back_own = None

        def back(*gradients):
            if self.world.rank:
                self.arena.grads.fill(0)  # rank 0 adds what earlier passes left, which all ranks hold
            dx, error = _attempt(part, lambda mine: back_own(*mine), gradients)
            try:
                described = self._described(dx, error, parts)
            except BaseException:
                self.arena.grads.fill(0)
                raise
            self.messages.add(self.arena.grads)
            return self._gathered(dx, described, parts)

        return self._gathered(y, self._described(y, error, parts), parts), back

    def forget(self, call):
        """Nothing is kept for a call but its `back`."""

    def close(self):
        self.alive = False

    def _described(self, answer, error, parts):
        """What rank 0 answered, with a Described in place of each array. Raises RuntimeError where a rank has failed."""
        mine = error or tree_map(lambda a: Described(a) if isinstance(a, self.arena.xp.ndarray) else a, answer)
        found = self.world.comm.allgather(mine)
        for rank, told in enumerate(found):
            if isinstance(told, Failed):
                raise RuntimeError(f"rank {rank} failed: {told.message}") from (error.error if rank == self.world.rank else None)
        for told, part in zip(found, parts, strict=False):
            tree_map(lambda a, n=part.stop - part.start: isinstance(a, Described) and a.check(n), told)
        return found[0]

    def _gathered(self, answer, described, parts):
        """The answers of all ranks, their arrays one below the other, in the order of the ranks."""
        rows = [part.stop - part.start for part in parts] + [0] * (self.count - len(parts))

        def gather(told, *own):
            if not isinstance(told, Described):
                return told
            part = own[0] if own else self.arena.xp.empty((0, *told.shape[1:]), told.dtype)
            return self.messages.gather(part, rows)

        return tree_map(gather, described, *([] if rows[self.world.rank] == 0 else [answer]))


class Described:
    """Shape and dtype of an array on another rank."""

    def __init__(self, array):
        self.shape, self.dtype = array.shape, array.dtype

    def check(self, n):
        """Raises ValueError unless it has n rows."""
        if self.shape[:1] != (n,):
            raise ValueError(f"the module gave an array of shape {self.shape} for {n} examples, expected {n} rows")


class Failed:
    """The error of a rank in words, for the others."""

    def __init__(self, error):
        self.message, self.error = f"{type(error).__name__}: {error}", error

    def __getstate__(self):
        return {"message": self.message, "error": None}  # an exception may hold what cannot be sent


def _attempt(function, *arguments):
    """(result, None), or (None, Failed)."""
    try:
        return function(*arguments), None
    except Exception as error:
        return None, Failed(error)

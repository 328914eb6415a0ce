"""Shares the rows of a batch among threads of this process, where it cannot be forked safely (macOS, Windows).

NumPy releases Python's lock inside its loops and products, so the parts run side by side for as long as the arrays are large.
"""

import copy
from concurrent.futures import ThreadPoolExecutor

from ...settings import is_no_grad, setting
from ...thread_team import get_threads, one_thread_in_blas
from .rows import joined, rows_of, settings_for


class Threads:
    """`count` threads, this one included. Every other one has a copy of `module` that shares the arena's values and has
    separate gradients, because two threads may not add to one array at the same time."""

    def __init__(self, module, arena, count):
        one_thread_in_blas()
        self.arena, self.count = arena, count
        self.grads = [arena.zeros() for _ in range(count - 1)]
        self.modules = [module, *(self._copy(module, grads) for grads in self.grads)]
        self.pool = ThreadPoolExecutor(count - 1, thread_name_prefix="minidiff rows")

    def _copy(self, module, grads):
        made, values = copy.deepcopy(module), self.arena.views(self.arena.values)
        for name, view in self.arena.views(grads).items():
            made.parameters()[name].share(values[name], view)
        return made

    @property
    def alive(self):
        return self.pool is not None

    def forward(self, call, parts, run, arguments):
        """The first part of the rows here, the others in threads.   -> y, back: see `data_parallel`"""

        def call_module(i):
            if i == 0:
                return run
            return lambda arguments: self.modules[i](arguments[0], *arguments[1], **arguments[2])

        answers = self._together([call_module(i) for i in range(len(parts))], parts, arguments)
        ys, backs = zip(*answers, strict=True)
        if is_no_grad():
            backs = ()

        def back(*gradients):
            try:
                dxs = self._together([lambda mine, b=b: b(*mine) for b in backs], parts, gradients)
                self._add_gradients()
            finally:
                for grads in self.grads:  # a failed pass may have left some
                    grads[:] = 0
            return joined(dxs, parts)

        return joined(ys, parts), back

    def _together(self, works, parts, arguments):
        """works[i](rows of part i), each in a separate thread; returns when all are done.   -> list of the results"""
        total, threads = parts[-1].stop, max(1, get_threads() // len(parts))

        def task(i):
            # A generator that two threads draw from would give each a share of its numbers
            settings = settings_for(parts[i], total, threads)
            if i and settings.get("training") is not None:
                settings["training"] = copy.deepcopy(settings["training"])
            return settings, rows_of(arguments, parts[i], total)

        def work(i, settings, mine):
            with setting(**settings):
                return works[i](mine)

        tasks = [task(i) for i in range(len(parts))]
        futures = [self.pool.submit(work, i, *tasks[i]) for i in range(1, len(parts))]
        try:
            first = work(0, *tasks[0])
        finally:
            for future in futures:  # nobody may still write when an error is handed out
                future.exception()
        return [first, *(future.result() for future in futures)]

    def _add_gradients(self):
        """Add the threads' gradients to the arena's, in a fixed order."""

        def add(part):
            for grads in self.grads:
                self.arena.grads[part] += grads[part]

        self.arena.walk(add)

    def forget(self, call):
        """Nothing is kept for a call but its `back`."""

    def close(self):
        """End the threads."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.shutdown()

"""One net, the rows of a batch shared among processes.

Python has a lock that one thread of a process can hold at a time. Threads inside an op (`minidiff.cpu`) wait for it, and
for each other, after every pass over some numbers. Processes take rows through the whole net and meet twice a step, so
that small nets gain by a second core too. Weights lie in memory that all of them see; gradients are each one's own,
and are added up in one order.
"""

import copy
import itertools
import threading
import weakref

from ..cpu.threads import get_threads
from ..nn import Layer
from ..ops.mode import all_settings, setting
from ..ops.no_grad import is_no_grad
from .arena import Arena
from .rows import NotByRows, RowsOfRng, joined, rows_of
from .workers import Workers, can_fork, shared_zeros

LEAST = 2  # rows a process is given at least: what a call costs whatever its size is not shared


class DataParallel(Layer):
    """`module` with its batches shared among processes; otherwise the same Layer, under the same names.

        model = DataParallel(UNet(...))
        trainer = Trainer(model, objective, images)
        denoiser = objective.denoiser(model)

    module     a Layer on the CPU; every array that its call takes or returns has a row for each example
    processes  how many, this one included; None: as many as threads are set (`cpu.set_threads`)

    Answers and gradients are the module's own but for rounding, and the same in every run. The first batch that is large enough
    starts the processes, as copies of this one: from then on Params may change, and nothing else in the module. Small
    batches, arrays that are not by rows, and systems whose processes cannot be copied safely (all but Linux) go through the module here,
    on threads. Make it before the optimizer: it moves the Params into memory that processes share.

    Raises ValueError for bad arguments, RuntimeError where a process ended by itself.
    """

    def __init__(self, module, processes=None):
        if processes is not None and (type(processes) is not int or processes < 1):
            raise ValueError(f"processes: got {processes!r}, expected a whole number, at least 1")
        if module.device != "cpu":
            raise ValueError(f"module: it is on {module.device}, expected one on the CPU")
        self.module, self.processes = module, processes
        home = Arena.home(module)
        self.arena = home if home and home.shared else Arena(module, shared_zeros)
        self._workers, self._calls, self._lock = None, itertools.count(), threading.Lock()

    def forward(self, x, *args, **kwargs):
        count = min(self.processes or get_threads(), len(x) // LEAST) if can_fork() else 1
        if count < 2 or not self._lock.acquire(blocking=False):  # asked from two threads at a time, one goes alone
            return self.module(x, *args, **kwargs)
        try:
            return self._shared(count, (x, args, kwargs))
        except NotByRows:
            return self.module(x, *args, **kwargs)
        finally:
            self._lock.release()

    def _shared(self, count, arguments):
        workers, total, call = self._started(count), len(arguments[0]), next(self._calls)
        count = min(count, len(workers.processes) + 1)
        parts = [slice(total * i // count, total * (i + 1) // count) for i in range(count)]
        tasks = [(self._settings(count, part, total), rows_of(arguments, part, total)) for part in parts]
        (settings, (x, args, kwargs)), others = tasks[0], tasks[1:]
        with workers.working("forward", call, others) as answers, setting(**settings):
            y, back_own = self.module(x, *args, **kwargs)

        def back(dy):
            mine, *theirs = [rows_of(dy, part, total) for part in parts]
            settings = self._settings(count, parts[0], total)
            with self._lock:
                if workers is not self._workers:
                    raise RuntimeError("the processes that ran this forward have ended since, so there is no way back")
                tasks = [(settings, dy) for dy in theirs]
                with workers.working("back", call, tasks) as answers, setting(**settings):
                    dx = back_own(mine)
                workers.add_gradients()
            return joined([dx, *answers])

        if not is_no_grad():
            weakref.finalize(back, workers.forget, call).atexit = False
        return joined([y, *answers]), back

    def _settings(self, count, part, total):
        """What holds in this thread, as it is to hold for these rows."""
        settings = all_settings() | {"threads": max(1, get_threads() // count)}
        if settings.get("training") is not None:
            settings["training"] = RowsOfRng(settings["training"], part, total)
        return settings

    def _started(self, count):
        if self._workers is None or not self._workers.alive:
            self._workers = Workers(self.module, self.arena, max(count, self.processes or get_threads()) - 1)
            weakref.finalize(self, self._workers.close)
        return self._workers

    def close(self):
        """End the processes; another call starts them again."""
        if self._workers is not None:
            self._workers.close()

    def parameters(self):
        return self.module.parameters()

    def __getattr__(self, name):
        if name == "module":  # not there yet, or a bare copy
            raise AttributeError(name)
        return getattr(self.module, name)

    def __deepcopy__(self, memo):
        return DataParallel(copy.deepcopy(self.module, memo), self.processes)

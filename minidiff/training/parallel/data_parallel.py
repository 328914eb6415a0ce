"""Data parallelism: the rows of a batch are shared among processes.

Only one thread of a process can hold Python's global lock. Threads inside an op (`minidiff.cpu`) wait for it, and for each
other, after every pass over an array. Processes take their rows through the whole model and synchronise twice a step, so
small models gain by a second core too. The weights are in shared memory; each process has its gradients, which are added up
in a fixed order.
"""

import copy
import itertools
import os
import threading
import weakref

from ...nn import Layer
from ...settings import all_settings, is_no_grad, setting
from ...thread_team import get_threads
from ..arena import Arena
from .rows import NotByRows, RowsOfRng, joined, rows_of
from .workers import Workers, can_fork, on_cores, shared_zeros

LEAST = 2  # fewest rows of a process: the fixed cost of a call is not shared


class DataParallel(Layer):
    """`module` with the rows of its batches shared among processes; otherwise the same Layer, with the same names.

        model = DataParallel(UNet(...))
        trainer = Trainer(model, objective, images)
        denoiser = objective.denoiser(model)

    module     a Layer on the CPU; every array that its call takes or gives has a row for each example
    processes  how many, this one included; None: as many as threads are set (`minidiff.set_threads`)
    timeout    seconds after which a worker process that does not answer counts as lost; None: no limit

    Outputs and gradients equal the module's but for rounding, and are the same in every run. Threads that call it at the same
    time take turns. The first batch with two rows for each process forks the workers: from then on Params may change, but
    nothing else in the module. The module runs in this process alone, on threads, for smaller batches, for arrays without a
    row for each example, and where fork is not safe (all systems but Linux). Make it before the optimizer: it moves the
    Params into shared memory.

    Raises ValueError for bad arguments, RuntimeError that names a process which ended by itself or stopped, and when the
    Params were moved elsewhere.
    """

    def __init__(self, module, processes=None, timeout=300.0):
        if processes is not None and (type(processes) is not int or processes < 1):
            raise ValueError(f"processes: got {processes!r}, expected a whole number, at least 1")
        if timeout is not None and (not isinstance(timeout, (int, float)) or not 0 < timeout < 1e9):
            raise ValueError(f"timeout: got {timeout!r}, expected a number of seconds above 0, or None")
        if module.device != "cpu":
            raise ValueError(f"module: it is on {module.device}, expected one on the CPU")
        self.module, self.processes, self.timeout = module, processes, timeout
        home = Arena.home(module)
        self.arena = home if home and (home.shared or not can_fork()) else Arena(module, shared_zeros if can_fork() else None)
        self._workers, self._finalizer, self._calls, self._lock = None, None, itertools.count(), threading.RLock()

    def forward(self, x, *args, **kwargs):
        count = min(self.processes or get_threads(), len(x) // LEAST) if can_fork() else 1
        if count < 2:
            return self.module(x, *args, **kwargs)
        try:
            with self._lock:  # the number of parts affects rounding, so threads may not run the module alone
                return self._shared(count, (x, args, kwargs))
        except NotByRows:
            return self.module(x, *args, **kwargs)

    def _shared(self, count, arguments):
        workers, total, call = self._started(count), len(arguments[0]), next(self._calls)
        count = min(count, len(workers.processes) + 1)
        parts = [slice(total * i // count, total * (i + 1) // count) for i in range(count)]

        def run(arguments):
            x, args, kwargs = arguments
            return self.module(x, *args, **kwargs)

        try:
            (y, back_own), answers = _together(workers, "forward", call, arguments, parts, run)
        except BaseException:
            workers.forget(call)  # some may have saved what a backward pass would need
            raise

        def back(*gradients):
            with self._lock:
                if workers is not self._workers or not workers.alive:
                    raise RuntimeError("the processes that ran this forward have ended since: backward is no longer possible")
                try:
                    dx, answers = _together(workers, "back", call, gradients, parts, lambda mine: back_own(*mine))
                    workers.add_gradients()
                except BaseException:
                    workers.drop_gradients()
                    raise
            return joined([dx, *answers], parts)

        if not is_no_grad():
            weakref.finalize(back, workers.forget, call).atexit = False
        return joined([y, *answers], parts), back

    def _started(self, count):
        if self.arena.moved:
            raise RuntimeError("the Params have moved to another arena since: make DataParallel before what moves them")
        if self._workers is None or not self._workers.alive:
            self.close()
            self._workers = Workers(self.module, self.arena, max(count, self.processes or get_threads()) - 1, self.timeout)
            self._finalizer = weakref.finalize(self, self._workers.close)
        return self._workers

    def close(self):
        """End the processes and free their memory; another call starts them again."""
        with self._lock:
            if self._workers is not None:
                self._finalizer.detach()  # it holds the workers, and they hold a gradient buffer each
                self._workers.close()
                self._workers = self._finalizer = None

    def parameters(self):
        return self.module.parameters()

    def __getattr__(self, name):
        if name == "module":  # not there yet, or a bare copy
            raise AttributeError(name)
        return getattr(self.module, name)

    def __deepcopy__(self, memo):
        return DataParallel(copy.deepcopy(self.module, memo), self.processes, self.timeout)


def _together(workers, what, call, arguments, parts, run):
    """run(first part) here, while workers run the other parts.   -> its result, [results of the workers]"""
    total, cores = parts[-1].stop, sorted(os.sched_getaffinity(0))
    tasks = []
    for i, part in enumerate(parts):
        own_cores = cores[len(cores) * i // len(parts) : len(cores) * (i + 1) // len(parts)]
        settings = all_settings() | {"threads": max(1, get_threads() // len(parts))}
        if settings.get("training") is not None:
            settings["training"] = RowsOfRng(settings["training"], part, total)
        tasks.append((own_cores or None, settings, rows_of(arguments, part, total)))
    (own_cores, settings, mine), *others = tasks
    with workers.working(what, call, others) as answers, on_cores(own_cores), setting(**settings):
        answer = run(mine)
    return answer, answers

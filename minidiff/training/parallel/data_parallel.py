"""Data parallelism: the rows of a batch are shared among the processes of a machine, the ranks of an MPI job, or threads.

Only one thread of a process can hold Python's global lock. Threads inside an op (`minidiff.cpu`) wait for it, and for each
other, after every pass over an array. Processes take their rows through the whole model and synchronise twice a step, so
small models gain by a second core too. Gradients are added up in a fixed order.

An engine shares the rows. Its `forward` has the contract of a layer, and gets what it needs to know of the batch:

    y, back = engine.forward(call, parts, run, (x, args, kwargs))     run(arguments) is the module's call
    dx = back(*gradients)                                             every p.grad has been added to
"""

import copy
import itertools
import threading
import weakref

from ...mpi import ALONE, world
from ...names import check_choice
from ...nn import Layer
from ...settings import is_no_grad, is_own_rows, no_grad
from ...thread_team import THREADS, get_threads
from ..arena import Arena
from .ranks import Ranks
from .rows import LEAST, NotByRows, parts_of
from .threads import Threads
from .workers import Workers, can_fork, shared_zeros

ENGINES = ("mpi", "processes", "threads")
LARGE, BUSY = 1 << 23, 1 << 13  # weights, and numbers of a batch, from which threads inside the ops are as fast


class DataParallel(Layer):
    """`module` with the rows of its batches shared; otherwise the same Layer, with the same names.

        model = DataParallel(UNet(...))
        trainer = Trainer(model, objective, images)
        denoiser = objective.denoiser(model)

    module     a Layer; every array that its call takes or gives has a row for each example. On a GPU only "mpi" shares rows
    processes  how many processes or threads, this one included; None: as many as threads are set (`minidiff.set_threads`)
    timeout    seconds after which a worker process that does not answer counts as lost; None: no limit
    engine     "mpi": the ranks that an MPI launcher started, whatever `processes` is. "processes": forked workers of this
               machine. "threads": of this process. None: the first of the three that there is

    Outputs and gradients equal the module's but for rounding, and are the same in every run. Threads that call it at the same
    time take turns. The first batch with two rows for each part starts the workers: from then on Params may change, but
    nothing else in the module. The module runs in this process alone, on threads inside its ops, for smaller batches and for
    arrays without a row for each example. With `processes` None it also does so for a model of 8 M weights or more, where
    this is as fast and needs no second set of gradients. Make it before the optimizer: it may move the Params into shared
    memory.

    With "mpi" all ranks make it, and call it with the same arrays in the same order. Each gets the whole output, and the
    gradients of the whole batch. Rank 0 has a part of every batch, however small.

    Raises ValueError for bad arguments, RuntimeError that names a process which ended by itself or stopped, or a rank that
    failed, and when the Params were moved elsewhere.
    """

    def __init__(self, module, processes=None, timeout=300.0, engine=None):
        if processes is not None and (type(processes) is not int or processes < 1):
            raise ValueError(f"processes: got {processes!r}, expected a whole number, at least 1")
        if timeout is not None and (not isinstance(timeout, (int, float)) or not 0 < timeout < 1e9):
            raise ValueError(f"timeout: got {timeout!r}, expected a number of seconds above 0, or None")
        self.ranks = world() if engine in (None, "mpi") else ALONE
        self.asked, self.engine = engine, _engine(engine, self.ranks)
        if module.device != "cpu" and self.engine != "mpi":
            raise ValueError(f"module: it is on {module.device}, expected one on the CPU")
        self.module, self.processes, self.timeout = module, processes, timeout
        self.arena = None if self.engine == "mpi" else _arena(module, shared_zeros if self.engine == "processes" else None)
        self._workers, self._finalizer, self._calls, self._lock = None, None, itertools.count(), threading.RLock()

    def forward(self, x, *args, **kwargs):
        count = self._parts(len(x), x.size)
        if count == 0:
            return self.module(x, *args, **kwargs)
        try:
            with self._lock:  # the number of parts affects rounding, so threads may not run the module alone
                return self._shared(count, (x, args, kwargs))
        except NotByRows:
            return self.module(x, *args, **kwargs)

    def parts(self, rows):
        """How many ranks of an MPI job share a batch of so many rows."""
        return max(1, min(self.ranks.size, rows // LEAST))

    def _parts(self, rows, numbers):
        """How many parts a batch of so many rows and numbers is shared in; 0: the module runs alone."""
        if is_own_rows():
            return 0
        if self.engine == "mpi":
            return self.parts(rows)
        if self.processes is None and self.arena.size >= LARGE and numbers >= BUSY:
            return 0
        count = min(self.processes or get_threads(), rows // LEAST)
        alone = count < 2 or self.engine is None or (self.engine == "processes" and not can_fork())  # a process of a pool now
        return 0 if alone else count

    def _shared(self, count, arguments):
        workers, total, call = self._started(count), len(arguments[0]), next(self._calls)

        def run(arguments):
            x, args, kwargs = arguments
            return self.module(x, *args, **kwargs)

        try:
            y, back_rows = workers.forward(call, parts_of(total, min(count, workers.count)), run, arguments)
        except BaseException:
            workers.forget(call)  # some may have saved what a backward pass would need
            raise

        def back(*gradients):
            with self._lock:
                if workers is not self._workers or not workers.alive:
                    raise RuntimeError("the processes that ran this forward have ended since: backward is no longer possible")
                return back_rows(*gradients)

        if not is_no_grad():
            weakref.finalize(back, workers.forget, call).atexit = False
        return y, back

    def _started(self, count):
        if self.arena is not None and self.arena.moved:
            raise RuntimeError("the Params have moved to another arena since: make DataParallel before what moves them")
        if self._workers is None or not self._workers.alive:
            self.close()
            count = max(count, self.processes or get_threads())
            if self.engine == "mpi":
                self._workers = Ranks(self.ranks, self.module)
            elif self.engine == "threads":
                self._workers = Threads(self.module, self.arena, count)
            else:
                self._workers = Workers(self.module, self.arena, count - 1, self.timeout)
            self._finalizer = weakref.finalize(self, self._workers.close)
        return self._workers

    def engine_of_ranks(self):
        """The `Ranks` that share its rows; for the engine "mpi" alone."""
        with self._lock:
            return self._started(1)

    def about_ranks(self):
        """How many ranks share the rows and how their gradients travel, as text; "" without an MPI job."""
        if self.engine != "mpi":
            return ""
        machines = f" on {self.ranks.machines} machines" if self.ranks.machines > 1 else ""
        return f"{self.ranks.size} ranks{machines}, gradients by {self.engine_of_ranks().messages.name}"

    @property
    def recordable(self):
        """Whether a CUDA graph can hold a call of it: messages between ranks cannot be recorded."""
        return self.engine != "mpi"

    def by_rows(self, method, x):
        """module.METHOD(x), without gradients. Ranks of an MPI job share the rows.   -> its result for all rows"""
        if self.engine != "mpi" or is_own_rows():
            return getattr(self.module, method)(x)

        def run(arguments):
            return getattr(self.module, method)(*arguments), None

        with no_grad(), self._lock:
            parts = parts_of(len(x), self._parts(len(x), x.size))
            return self._started(1).forward(next(self._calls), parts, run, (x,))[0]

    def close(self):
        """End the processes or threads and free their memory; another call starts them again."""
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
        return DataParallel(copy.deepcopy(self.module, memo), self.processes, self.timeout, self.asked)


def shared(module):
    """DataParallel(module) where rows can be shared: on a CPU, or among the ranks of an MPI job. Else the module itself."""
    return DataParallel(module) if module.device == "cpu" or world() is not ALONE else module


def among_ranks(module):
    """DataParallel(module) in an MPI job, else the module itself."""
    return module if world() is ALONE else DataParallel(module)


def _arena(module, zeros):
    """The arena of the module's Params: the one that they have, if it serves, else a new one.   zeros: as Arena takes it"""
    home = Arena.home(module)
    return home if home and (home.shared or zeros is None) else Arena(module, zeros)


def _engine(name, ranks):
    """The engine to share rows by, or None where there is none.   name: what was asked for, or None"""
    there = {"mpi": ranks is not ALONE, "processes": can_fork(), "threads": THREADS}
    if name is None:
        return next((engine for engine in ENGINES if there[engine]), None)
    check_choice("engine", name, ENGINES)
    if not there[name]:
        needs = {"mpi": "a job that mpiexec started with several ranks", "processes": "Linux, outside a process pool",
                 "threads": "a Python with threads"}  # fmt: skip
        raise ValueError(f"engine: got {name!r}, which needs {needs[name]}")
    return name

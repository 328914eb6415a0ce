"""Forked worker processes that run a module on the rows they receive and write gradients into shared memory."""

import contextlib
import mmap
import os
import signal
import socket
import struct
import sys
import warnings

import numpy as np

from ...settings import is_no_grad, setting
from ...thread_team import get_threads
from .rows import joined, rows_of, settings_for


def can_fork():
    """Whether this process can be forked safely: elsewhere than on Linux, system libraries are not fork-safe."""
    if sys.platform != "linux":
        return False
    import multiprocessing  # when first needed: a Python in a browser has none

    return not multiprocessing.current_process().daemon  # a worker of a process pool may not have workers


def shared_zeros(size, dtype):
    """(size,) zeros in memory shared with the forked processes."""
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(1, size) * dtype.itemsize), dtype, size)


@contextlib.contextmanager
def on_cores(cores):
    """Context manager: pins this thread to these cores (None: any). Otherwise the system puts two processes that wake each
    other on one core, where a small model's step ends before they are moved apart."""
    allowed = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        if cores is not None:
            os.sched_setaffinity(0, allowed)


class Workers:
    """`count` processes, each with a copy of `module` that shares the arena's values and has separate gradients.

    timeout   seconds without progress after which a worker that is waited for counts as lost; None: no limit
    """

    def __init__(self, module, arena, count, timeout=None):
        import multiprocessing

        self.arena, self.process, self.timeout = arena, os.getpid(), timeout
        self.grads = [shared_zeros(arena.size, arena.dtype) for _ in range(count)]
        self.connections, self.processes, self.forgotten = [], [], [[] for _ in range(count)]
        context = multiprocessing.get_context("fork")
        for grads in self.grads:
            ours, its = context.Pipe()
            self.connections.append(ours)
            arguments = module, arena, grads, its, list(self.connections)
            process = context.Process(target=_serve, args=arguments, daemon=True, name="minidiff worker")
            with warnings.catch_warnings():  # Python 3.12 warns of forks beside threads: the copy uses none of them
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            its.close()
            self.processes.append(process)
            _limit(ours, timeout)

    @property
    def count(self):
        """How many parts a batch can have: one for each worker, and one for this process."""
        return len(self.processes) + 1

    @property
    def alive(self):
        """Whether they belong to this process and are not closed."""
        return bool(self.processes) and self.process == os.getpid()

    def forward(self, call, parts, run, arguments):
        """The first part of the rows here, the others in the workers.   -> y, back: see `data_parallel`"""
        (y, back_own), answers = self._together("forward", call, arguments, parts, run)

        def back(*gradients):
            try:
                dx, answers = self._together("back", call, gradients, parts, lambda mine: back_own(*mine))
                self.add_gradients()
            except BaseException:
                self.drop_gradients()
                raise
            return joined([dx, *answers], parts)

        return joined([y, *answers], parts), back

    def _together(self, what, call, arguments, parts, run):
        """run(first part) here, while workers run the other parts.   -> its result, [results of the workers]"""
        total, cores = parts[-1].stop, sorted(os.sched_getaffinity(0))
        tasks = []
        for i, part in enumerate(parts):
            own_cores = cores[len(cores) * i // len(parts) : len(cores) * (i + 1) // len(parts)]
            settings = settings_for(part, total, max(1, get_threads() // len(parts)))
            tasks.append((own_cores or None, settings, rows_of(arguments, part, total)))
        (own_cores, settings, mine), *others = tasks
        with self.working(what, call, others) as answers, on_cores(own_cores), setting(**settings):
            answer = run(mine)
        return answer, answers

    @contextlib.contextmanager
    def working(self, what, call, tasks):
        """Context manager: the first len(tasks) workers each run one task (cores, settings, arguments); afterwards the
        list that this yields holds their results. It always waits for them, so no result is taken for a later one.

        what    "forward", whose arguments are (x, args, kwargs), or "back", whose arguments are the gradients
        call    a number for each forward, and for the backwards that belong to it
        """
        answers, received, connections = [], [], self.connections[: len(tasks)]
        asked = 0
        try:
            for connection, forgotten, task in zip(connections, self.forgotten, tasks, strict=False):
                told = len(forgotten)  # a call may be forgotten at any moment
                connection.send((what, call, forgotten[:told], *task))
                del forgotten[:told]
                asked += 1
        except BaseException as error:
            raise self._lost(error, asked) from error
        try:
            yield answers
        finally:
            try:
                for connection in connections:
                    received.append(connection.recv())
            except BaseException as error:  # Ctrl-C a second time, or a worker that was killed or stopped
                raise self._lost(error, len(received)) from error
        for done, answer in received:
            if not done:
                raise RuntimeError(f"in a worker process: {answer}")
            answers.append(answer)

    def add_gradients(self):
        """Add the workers' gradients to the arena's, in a fixed order, and set them to zero."""

        def add(part):
            for grads in self.grads:
                self.arena.grads[part] += grads[part]
                grads[part] = 0

        self.arena.walk(add)

    def drop_gradients(self):
        """Set the workers' gradients to zero: a failed backward pass may have left some."""
        for grads in self.grads:
            grads[:] = 0

    def forget(self, call):
        """Mark this call's backward pass as no longer possible: the next task frees what was saved for it."""
        for forgotten in self.forgotten:
            forgotten.append(call)

    def close(self):
        """End the workers."""
        connections, processes, self.connections, self.processes = self.connections, self.processes, [], []
        if self.process != os.getpid():
            return
        for connection in connections:
            connection.close()
        for process in processes:
            process.join(1.0)
            if process.is_alive():
                process.kill()  # a stopped process keeps every other signal for later
                process.join()

    def _lost(self, error, number):
        """The exception to raise when workers do not respond.   number: the worker that was waited for"""
        process = self.processes[number]
        if isinstance(error, BlockingIOError):
            stopped = ", because it is stopped (SIGSTOP, or a debugger)" if _is_stopped(process.pid) else ""
            error = RuntimeError(f"worker process {process.pid}: no answer within timeout={self.timeout:g} seconds{stopped}")
        elif isinstance(error, (EOFError, OSError)):
            process.join(1.0)
            code = process.exitcode
            how = f"exited with code {code}" if code is None or code >= 0 else f"was ended by {signal.Signals(-code).name}"
            error = RuntimeError(f"worker process {process.pid}: it {how} (out of memory?); the next call starts new ones")
        for process in self.processes:
            process.kill()
        self.close()
        return error


def _limit(connection, timeout):
    """Make reads and writes of this connection fail with BlockingIOError after `timeout` seconds without progress.

    The limit is a socket timeout: Ctrl-Z stops this process and its workers together, and restarts the time.
    """
    if timeout is not None:
        span = struct.pack("@ll", int(timeout), max(1, int(timeout % 1 * 1e6)))
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
            same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)


def _is_stopped(pid):
    """Whether the process is stopped, by SIGSTOP or a debugger."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def _serve(module, arena, grads, connection, others):
    """A worker's main loop: run tasks until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main process handles it
    for other in others:
        other.close()
    for name, view in arena.views(grads).items():
        arena.params[name].accumulate_in(view)
    backs = {}
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_answer(module, backs, *connection.recv()))


def _answer(module, backs, what, call, forgotten, cores, settings, arguments):
    """Run one task.   -> True and the result, or False and the error in words"""
    for old in forgotten:
        backs.pop(old, None)
    try:
        if cores is not None and set(cores) != os.sched_getaffinity(0):
            os.sched_setaffinity(0, cores)  # for good: else it would wake on the main process's core, and wait there to move
        with setting(**settings):
            if what == "back":
                return True, backs[call](*arguments)
            x, args, kwargs = arguments
            y, back = module(x, *args, **kwargs)
            if not is_no_grad():
                backs[call] = back
            return True, y
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"

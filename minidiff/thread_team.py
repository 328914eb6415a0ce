"""The threads that share the pieces of an op, and the setting of how many there are.

NumPy releases the interpreter's lock inside its loops and products, so Python threads run them side by side. Each thread
works on a piece that fits its core's cache, with products that stay on that core. So BLAS is limited to one thread for
the whole process, once, before the first piece. A limit around each call would cost 23 microseconds, half of a small op,
and two threads that set and restore it would interfere. Which thread runs which piece changes
nothing, because pieces depend on shapes alone and no two write to the same place.
"""

import functools
import itertools
import os
import queue
import sys
import threading

from .settings import current, is_lone, setting

PINS = hasattr(os, "sched_setaffinity")  # Linux
THREADS = sys.platform not in ("emscripten", "wasi")  # Python in a browser cannot start any

_setting = None  # None: not asked yet
_busy = threading.local()  # .inside: this thread is already running pieces
_team = None
_team_lock = threading.Lock()
_blas_told = False
_openblas = []  # threadpoolctl's controllers of it


def get_threads():
    """How many threads an op may use: what was set, else MINIDIFF_THREADS, else one for each core (at most 16)."""
    global _setting
    if (inside := current("threads")) is not None:
        return inside
    if _setting is None:
        given = os.environ.get("MINIDIFF_THREADS", "").strip()
        _setting = _checked(given, "MINIDIFF_THREADS") if given else min(_cores(), 16)
    return _setting


def set_threads(n):
    """From now on ops share their work among n threads, the calling one included; None: the default again.

    The first op that does so limits BLAS to one thread for the whole process, other libraries' products included.
    """
    global _setting
    _setting = None if n is None else _checked(n, "n")


def threads(n):
    """Inside, ops that this thread calls share their work among n threads."""
    return setting(threads=_checked(n, "n"))


def share(work, pieces, lone=False):
    """work(i) for every i in range(pieces), on as many threads as are set; returns when all are done.

    Where a team is at work already (a piece that shares again, two samplers in one program) the caller does it alone.
    The first exception of a piece is raised here, after the others have stopped.

    lone    run the pieces one after another here, and let OpenBLAS's threads share each matrix product, whose last bits may
            then depend on the number of threads. The team's threads sleep, and take 20 to 50 microseconds to wake, which is too
            long for one small image. OpenBLAS's stay awake for some milliseconds after a product. As they would then compete
            with the team's, no op of a prediction `is_lone` uses the team
    """
    global _team
    if not _blas_told:
        one_thread_in_blas()
    most = get_threads() if THREADS and (lone or not is_lone()) else 1
    helpers = (most if lone else min(most, pieces)) - 1
    if helpers < 1 or getattr(_busy, "inside", False) or not _team_lock.acquire(blocking=False):
        for i in range(pieces):
            work(i)
        return
    try:
        if lone:
            _share_products(work, pieces, most)
            return
        if _team is None:
            _team = _Team()
        _team.run(work, pieces, helpers)
    finally:
        _team_lock.release()


def _share_products(work, pieces, threads):
    """work(i) for every i in range(pieces), here, with so many threads in OpenBLAS."""
    try:
        for library in _openblas:
            library.set_num_threads(threads)
        for i in range(pieces):
            work(i)
    finally:
        for library in _openblas:
            library.set_num_threads(1)


class _Team:
    """Threads that wait for work. They are daemons: a program ends without asking them."""

    def __init__(self):
        self.inboxes, self.done = [], queue.SimpleQueue()

    def run(self, work, pieces, helpers):
        while len(self.inboxes) < helpers:
            self.inboxes.append(queue.SimpleQueue())
            threading.Thread(target=self._wait, args=(self.inboxes[-1],), name="minidiff", daemon=True).start()
        job = _Job(work, pieces)
        allowed = frozenset(os.sched_getaffinity(0)) if PINS else None
        here, *others = _groups(allowed, helpers + 1)
        if here != allowed:
            os.sched_setaffinity(0, here)
        try:
            for inbox, cores in zip(self.inboxes, others, strict=False):
                inbox.put((job, cores))
            job.take_pieces()
            for _ in range(helpers):  # nobody may still write when the answer is handed out
                self.done.get()
        finally:
            if here != allowed:
                os.sched_setaffinity(0, allowed)
        if job.error is not None:
            raise job.error

    def _wait(self, inbox):
        pinned = None
        while True:
            job, cores = inbox.get()
            if cores != pinned:
                os.sched_setaffinity(0, cores)
                pinned = cores
            job.take_pieces()
            del job  # arrays are not to live on in a thread that waits
            self.done.put(None)


@functools.lru_cache(64)
def _groups(allowed, count):
    """The cores of each of `count` threads: neighbours of the allowed ones. All of them for each where they are too few.

    After a pause the system wakes a thread on the core of the one that woke it, and moves it only after several operations.
    """
    if allowed is None or len(allowed) < count:
        return [allowed] * count
    cores = sorted(allowed)
    return [frozenset(cores[len(cores) * i // count : len(cores) * (i + 1) // count]) for i in range(count)]


class _Job:
    """Pieces of work that several threads take from, one after the other, until none is left."""

    def __init__(self, work, pieces):
        self.work, self.pieces, self.error, self.following = work, pieces, None, itertools.count()

    def take_pieces(self):
        _busy.inside = True
        try:
            while self.error is None and (i := next(self.following)) < self.pieces:
                self.work(i)
        except BaseException as error:  # Ctrl-C too: it is raised again where the work was asked for
            self.error = error
        finally:
            _busy.inside = False


def one_thread_in_blas():
    """A product runs on the thread that asks for it. Several BLAS threads in several pool threads would wait for each other."""
    global _blas_told
    if THREADS:
        from threadpoolctl import ThreadpoolController

        found = ThreadpoolController().select(user_api="blas")
        found.limit(limits=1)
        _openblas[:] = found.select(internal_api="openblas").lib_controllers
    _blas_told = True


def _checked(n, name):
    try:
        whole = int(n)
    except (TypeError, ValueError):
        whole = 0
    if isinstance(n, float) or whole < 1:
        raise ValueError(f"{name}: got {n!r}, expected a whole number of threads, at least 1")
    return whole


def _cores():
    """The cores this process may use, which can be fewer than the machine has."""
    if not THREADS:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _after_fork():
    """A forked child has none of its parent's threads."""
    global _team, _team_lock
    _team, _team_lock = None, threading.Lock()
    _busy.inside = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

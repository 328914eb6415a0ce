"""The group of ranks of a job, and the single process that has the same methods."""

import functools
import os
import sys
import time
import traceback

from .launch import launched
from .watched import NO_GUARD, Guard

WAIT = 1.0  # seconds that another rank waits with its error: mostly rank 0 fails the same way, and one message is enough
PASSED_ON = 0.2  # seconds for the launcher to pass on the message: at the end of the job it drops what it did not read


class Alone:
    """One process that no launcher started with others: everything is agreed on, and it writes all files."""

    rank, size, is_first, local_rank, local_size = 0, 1, True, 0, 1

    def first(self, function, *arguments):
        """function(*arguments), called by rank 0 only; every rank gets the result."""
        return function(*arguments)

    def any(self, flag):
        """Whether `flag` is true on any rank."""
        return flag

    def agree(self, facts, *arguments):
        """Raises ValueError that names what differs, unless facts(*arguments), {name: text}, is the same on all ranks."""

    def at(self, step):
        """Note the training step that begins, counted from 1, for the message about a killed rank."""

    def fail(self, message, code):
        """Print an error; with several ranks also end the job, with this exit code."""
        print(message, file=sys.stderr)


ALONE = Alone()


class World(Alone):
    """All ranks of an MPI job.   comm: a communicator of mpi4py

    Every method but `fail` and `at` is collective: all ranks call it, in the same order.
    """

    def __init__(self, comm):
        from mpi4py import MPI

        self.comm, self.rank, self.size, self.is_first = comm, comm.rank, comm.size, comm.rank == 0
        node = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = node.rank, node.size
        self.machines = sum(comm.allgather(node.rank == 0))
        _share_cores(node)
        self.guard = Guard(comm, self.machines) if os.name == "posix" else NO_GUARD  # Windows passes no sockets on

    def first(self, function, *arguments):
        if not self.is_first:
            done, result = self.comm.bcast(None)
            if not done:
                raise RuntimeError(f"rank 0 failed: {result}")
            return result
        try:
            result = function(*arguments)
        except BaseException as error:
            self.comm.bcast((False, f"{type(error).__name__}: {error}"))
            raise
        self.comm.bcast((True, result))
        return result

    def any(self, flag):
        from mpi4py import MPI

        byte = bytearray([bool(flag)])
        self.comm.Allreduce(MPI.IN_PLACE, [byte, MPI.BYTE], MPI.BOR)
        return bool(byte[0])

    def agree(self, facts, *arguments):
        found = self.comm.allgather(facts(*arguments))
        differs = [
            f"{name}: got {there.get(name)} on rank {rank}, expected {found[0].get(name)} as on rank 0"
            for rank, there in enumerate(found)
            for name in {**found[0], **there}
            if there.get(name) != found[0].get(name)
        ]
        if differs:
            raise ValueError(f"the ranks of this job differ, so they cannot train together: {'; '.join(differs)}")

    def at(self, step):
        self.guard.say(f"step {step}")

    def fail(self, message, code):
        if not self.is_first:
            time.sleep(WAIT)
            message = f"rank {self.rank}: {message}"
        print(message, file=sys.stderr, flush=True)
        self.guard.quiet()
        time.sleep(PASSED_ON)
        self.comm.Abort(code)


@functools.cache
def world():
    """The ranks of this job: a World where an MPI launcher started more than one process, else ALONE.

    The first call is collective. From then on an uncaught exception of one rank ends the job. Raises RuntimeError where
    mpi4py is missing or belongs to another MPI than the launcher.
    """
    expected = launched()
    if expected is None:
        return ALONE
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise RuntimeError(
            f"mpiexec started {expected[1]} ranks, which need mpi4py: pip install 'minidiff[mpi]', or mpi4py for the MPI of "
            f"this cluster ({error}). MINIDIFF_MPI=0 makes them {expected[1]} independent processes"
        ) from None
    comm = MPI.COMM_WORLD
    if comm.size != expected[1]:
        raise RuntimeError(
            f"mpiexec started {expected[1]} ranks, but mpi4py sees {comm.size}: it was built for another MPI "
            f"({MPI.Get_library_version().splitlines()[0].strip()}) than the one that mpiexec belongs to"
        )
    made = World(comm)
    sys.excepthook = functools.partial(_end_job, made)
    return made


def _end_job(ranks, kind, error, trace):
    """An uncaught exception of one rank ends the job: the other ranks would wait for it for ever."""
    ranks.fail("".join(traceback.format_exception(kind, error, trace)).rstrip(), 1)


def _share_cores(node):
    """Divide the cores that several ranks of a machine may use alike, unless MINIDIFF_THREADS is set."""
    cores = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))
    alike = node.allgather(cores).count(cores)
    os.environ.setdefault("MINIDIFF_THREADS", str(max(1, min(len(cores), 16 * alike) // alike)))

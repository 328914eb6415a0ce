"""How arrays travel between ranks: by MPI from host memory; from a GPU by NCCL, by an MPI that reads device memory, or copied.

Each class has `add(flat)`, the sum over all ranks in place, and `gather(part, rows)`, all parts one below the other, where
rank i has rows[i] rows. All ranks call them in the same order.
"""

import os

import numpy as np

from ...backend import to_numpy
from ...gpu.nccl import nccl_group
from ...names import check_choice

CHOICE = "MINIDIFF_MESSAGES"  # in the environment: nccl, device or host, in place of what is found


class Host:
    """MPI on arrays in host memory; those of a GPU are copied to the host and back."""

    name = "MPI, through host memory"

    def __init__(self, world, xp):
        self.comm, self.xp = world.comm, xp

    def add(self, flat):
        host = to_numpy(flat)
        self.comm.Allreduce(_in_place(), host)
        if self.xp is not np:
            flat[...] = self.xp.asarray(host)

    def gather(self, part, rows):
        return self.xp.asarray(_gather(self.comm, np.ascontiguousarray(to_numpy(part)), rows, np))


class Device(Host):
    """An MPI that reads and writes device memory."""

    name = "MPI, on device memory"

    def add(self, flat):
        self.xp.cuda.get_current_stream().synchronize()  # MPI knows nothing of the kernels that still write into it
        self.comm.Allreduce(_in_place(), flat)

    def gather(self, part, rows):
        part = self.xp.ascontiguousarray(part)
        self.xp.cuda.get_current_stream().synchronize()
        return _gather(self.comm, part, rows, self.xp)


class Nccl(Host):
    """NCCL, by cupyx.distributed: device to device, on the current stream."""

    name = "NCCL"

    def __init__(self, world, xp):
        super().__init__(world, xp)
        self.group = nccl_group(world.rank, world.size)

    def add(self, flat):
        self.group.all_reduce(flat, flat, "sum")

    def gather(self, part, rows):
        """NCCL gathers equal parts only: shorter ones are filled up, and cut afterwards."""
        most = max(rows)
        padded = self.xp.zeros((most, *part.shape[1:]), part.dtype)
        padded[: len(part)] = part
        out = self.xp.empty((len(rows), *padded.shape), part.dtype)
        self.group.all_gather(padded, out, padded.size)
        return self.xp.concatenate([out[i, :n] for i, n in enumerate(rows)])


KINDS = {"nccl": Nccl, "device": Device, "host": Host}


def messages_for(world, xp):
    """The fastest of the three that every rank has.   xp: the module of the arrays

    Raises ValueError for an unknown name in MINIDIFF_MESSAGES.
    """
    if xp is np:
        return Host(world, xp)
    wanted = os.environ.get(CHOICE, "").strip()
    if wanted:
        check_choice(CHOICE, wanted, KINDS)
        return KINDS[wanted](world, xp)
    own_device = not world.any(world.local_size > xp.cuda.runtime.getDeviceCount())  # NCCL takes one rank a device
    if own_device and not world.any(not _has_nccl(xp)):
        return Nccl(world, xp)
    return (Host if world.any(not _reads_device_memory()) else Device)(world, xp)


def _has_nccl(xp):
    return bool(getattr(getattr(xp.cuda, "nccl", None), "available", False))


def _reads_device_memory():
    """Whether this MPI is set to read device memory. There is no portable way to ask it."""
    variables = ("MPICH_GPU_SUPPORT_ENABLED", "MV2_USE_CUDA", "I_MPI_OFFLOAD", "OMPI_MCA_opal_cuda_support")
    return any(os.environ.get(name, "").lower() in ("1", "true") for name in variables)


def _in_place():
    from mpi4py import MPI

    return MPI.IN_PLACE


def _gather(comm, part, rows, xp):
    """Allgatherv of parts of different lengths into a new array of `xp`."""
    out = xp.empty((sum(rows), *part.shape[1:]), part.dtype)
    width = int(np.prod(part.shape[1:], dtype=np.int64)) * part.dtype.itemsize
    from mpi4py import MPI

    comm.Allgatherv([part, part.nbytes, MPI.BYTE], [out, [n * width for n in rows], MPI.BYTE])
    return out

"""NCCL, NVIDIA's library for messages between GPUs, as cupyx.distributed offers it."""


def nccl_group(rank, size):
    """The group of all ranks of an MPI job, each on the device that is current.   -> a cupyx.distributed.NCCLBackend

    All ranks call it together. They exchange the address of the group by mpi4py.
    """
    from cupyx.distributed import NCCLBackend

    return NCCLBackend(size, rank, use_mpi=True)

"""NCCL, NVIDIA's library for messages between GPUs, as cupyx.distributed offers it."""


def nccl_group(rank, size):
    """The group of all ranks of an MPI job, each on the device that is current.   -> a cupyx.distributed.NCCLBackend

    All ranks call it together. It takes mpi4py to exchange the address of the group.
    """
    from cupyx import distributed

    return distributed.init_process_group(size, rank, backend="nccl", use_mpi=True)

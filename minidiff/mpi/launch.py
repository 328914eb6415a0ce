"""Whether an MPI launcher started this process, read from the environment: nothing is imported for it."""

import os

_NAMES = (  # (rank, number of ranks) as launchers call them
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel MPI, MVAPICH, Slurm with pmi2
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),  # Slurm with pmix
)
SWITCH = "MINIDIFF_MPI"  # 0: processes under one launcher that are independent of each other


def launched():
    """(rank, number of ranks) that the launcher gave this process, or None for a single process.

    The environment variable MINIDIFF_MPI=0 makes every process a single one. A task of Slurm without PMI is a single one too.
    """
    if os.environ.get(SWITCH, "").strip() == "0":
        return None
    for rank, size in _NAMES:
        if os.environ.get(rank, "").isdigit() and os.environ.get(size, "").isdigit():
            return (int(os.environ[rank]), int(os.environ[size])) if int(os.environ[size]) > 1 else None
    return None

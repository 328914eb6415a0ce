"""The ranks of an MPI job: who this process is, what all ranks must agree on, and how a job ends when one of them fails.

`mpiexec -n 4 minidiff train ...` starts the same program four times. `world()` is the group of these processes, or `ALONE`,
with the same methods, where no launcher started several. mpi4py is imported in the first case only.
"""

from .launch import launched
from .world import ALONE, World, world

__all__ = ["ALONE", "World", "launched", "world"]

"""mpirun(ranks, *arguments): a real job of mpiexec, ended after a time limit with everything that it started."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mpiexec():
    """The launcher beside this Python, else the one on the path; None where there is none."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def job(ranks, *arguments, timeout=60, env=None, before_end=None):
    """python ARGUMENTS on so many ranks, or in this many processes without a launcher for 1.   -> CompletedProcess

    before_end   called with the Popen object while the job runs
    """
    command = [sys.executable, *map(str, arguments)]
    if ranks > 1:
        command = [mpiexec(), "-n", str(ranks), *command]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MINIDIFF_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])} | (env or {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, env=env, start_new_session=True, **pipes)
    try:
        if before_end is not None:
            before_end(process)
        out, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{' '.join(map(str, command))} still ran after {timeout} seconds")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


@pytest.fixture(scope="session")
def mpirun():
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install mpi4py mpich")
    if mpiexec() is None:
        pytest.skip("there is no mpiexec: pip install mpich")
    return job

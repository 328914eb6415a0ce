"""Runs in processes of their own: killed without warning at any moment and resumed, they end where they would have."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from minidiff.training import load

PROGRAM = Path(__file__).parent / "killed_run.py"
INSIDE_A_WRITE = ("opened", "half written", "written", "flushed", "before rename", "renamed")
MOMENTS = (*INSIDE_A_WRITE, "step")
KILLS = 24


def start(argument):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(argument)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def server():
    with start("serve") as process:
        limit = threading.Timer(120, process.kill)  # the test reads what it writes, for as long as it lives
        limit.start()
        yield process
        limit.cancel()
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def finish(folder):
    child = start(folder)
    child.communicate(timeout=60)
    assert child.returncode == 0
    return (folder / "checkpoint.safetensors").read_bytes(), log_of(folder)


def log_of(folder):
    """The log without its last column, the seconds, which no two runs share."""
    return [line.rsplit(",", 1)[0] for line in (folder / "log.csv").read_text().splitlines()]


def run_and_kill(server, folder, moment, times, delay=0.0):
    """SIGKILL a run that reports `moment` for the so-manyth time: while it waits there, or `delay` seconds after it continues.
    -> its exit code"""

    def tell(line):
        server.stdin.write(line + "\n")
        server.stdin.flush()

    tell(str(folder))
    pid = int(server.stdout.readline().removeprefix("pid "))
    for line in map(str.strip, server.stdout):
        if line.startswith("ended"):
            return int(line.split()[1])
        if line == moment:
            times -= 1
            if times == 0:
                if delay:
                    tell("")
                    time.sleep(delay)
                os.kill(pid, signal.SIGKILL)
        if line in MOMENTS and times > 0:
            tell("")


@pytest.mark.slow
def test_killed_over_and_over_it_ends_bit_identical(server, tmp_path):
    whole, log = finish(tmp_path / "whole")
    folder, rng, last = tmp_path / "killed", random.Random(0), 0
    path = folder / "checkpoint.safetensors"
    for i in range(KILLS):
        if i % 2:
            code = run_and_kill(server, folder, INSIDE_A_WRITE[i // 2 % len(INSIDE_A_WRITE)], times=rng.randint(1, 9))
        else:
            code = run_and_kill(server, folder, "step", times=rng.randint(1, 15), delay=rng.uniform(0, 0.002))
        assert code == -signal.SIGKILL, "the run ended before it was killed: the test kills too late"
        if last:
            assert path.exists(), "a kill lost the checkpoint"
        if path.exists():
            step = load(path).step  # raises if it cannot be read
            assert step >= last, "a kill brought back an older checkpoint"
            last = step
    assert last > 0
    assert finish(folder) == (whole, log)
    assert sorted(os.listdir(folder)) == ["checkpoint.safetensors", "log.csv"]  # no temporary file stays behind


@pytest.mark.slow
def test_same_seed_same_bytes_in_two_processes(tmp_path):
    assert finish(tmp_path / "a") == finish(tmp_path / "b")

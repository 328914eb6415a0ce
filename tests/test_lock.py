"""Two processes and one run folder: the second gets one line, at once; a killed first one blocks nobody.

Real processes and a real SIGKILL; what is right is what the operating system promises of record locks.
"""

import csv
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from minidiff import lock, models
from minidiff.cli import main
from minidiff.diffusion import Schedule, SimpleLoss
from minidiff.lock import FolderInUse, locked
from minidiff.training import Trainer, load

REPOSITORY = Path(__file__).parents[1]
TINY = ["--set", "model.block_out_channels=[8,8]", "--set", "model.norm_num_groups=4", "--set", "model.attention_head_dim=8",
        "--batch-size", "8", "--no-progress"]  # fmt: skip
HOLD = """
import sys, time
from minidiff.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
posix = pytest.mark.skipif(os.name == "nt", reason="SIGKILL")


def python(*arguments):
    paths = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": paths})  # fmt: skip


@pytest.fixture
def holder(tmp_path):
    """A process that holds tmp_path / "run"; ended with the test."""
    process = python("-c", HOLD, str(tmp_path / "run"))
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_second_gets_one_line_at_once(holder, tmp_path, capsys):
    folder, start = tmp_path / "run", time.perf_counter()
    for command in (["train", "--steps", "1", "--out", str(folder), *TINY], ["train", "--out", str(folder), "--resume"]):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert f"another run (process {holder.pid}) is writing into this folder" in said and said.count("\n") == 1
        assert str(folder) in said
    assert time.perf_counter() - start < 5
    assert [f.name for f in folder.iterdir()] == [lock.NAME]  # nothing was written


@posix
def test_the_lock_of_a_killed_process_is_released(holder, tmp_path, capsys):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    folder = tmp_path / "run"
    assert (folder / lock.NAME).exists()  # it had no time to clear up
    assert main(["train", "--steps", "1", "--out", str(folder), *TINY]) == 0
    assert load(folder / "checkpoint.safetensors").step == 1 and not (folder / lock.NAME).exists()


FORK = """
import os, sys, time
from minidiff.lock import locked
with locked(sys.argv[1]):
    if os.fork() == 0:
        time.sleep(8)  # a worker process that outlives its parent
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@posix
def test_a_worker_that_outlives_a_killed_process_does_not_hold_its_lock(tmp_path):
    """`flock` would pass to the child; a record lock does not."""
    process = python("-c", FORK, str(tmp_path / "run"))
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    with locked(tmp_path / "run"):
        pass
    process.stdout.close()
    process.stderr.close()


def test_two_trainings_into_one_folder_leave_one_whole_log(tmp_path):
    """Started together, again and again: each ends well or with the one line, and the log has every row once."""
    folder = tmp_path / "run"
    command = ["-m", "minidiff", "train", "--data", "moons", "--steps", "40", "--out", str(folder), "--overwrite",
               "--no-progress", "--batch-size", "8", "--set", "model.width=8", "--checkpoint-every", "1"]  # fmt: skip
    running = [python(*command) for _ in range(3)]
    ends = [(*process.communicate(timeout=120), process.returncode) for process in running]
    assert any(code == 0 for *_, code in ends)
    for _, error, code in ends:
        assert code == 0 or ("is writing into this folder" in error and error.count("\n") == 1), error
    rows = list(csv.reader((folder / "log.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["step", *map(str, range(1, 41))] and {len(row) for row in rows} == {5}
    assert load(folder / "checkpoint.safetensors").step == 40
    assert not [f.name for f in folder.iterdir() if f.name.startswith(".")]


def make(folder):
    points = np.random.default_rng(0).standard_normal((20, 2)).astype(np.float32)
    loss = SimpleLoss(Schedule.linear(8, 0.01, 0.3))
    return Trainer(models.MLP(width=8, depth=1, rng=0), loss, points, steps=4, batch_size=4, folder=folder)


def test_a_trainer_in_python_is_held_off_too_and_writes_nothing(holder, tmp_path):
    trainer = make(tmp_path / "run")
    for method in (lambda: trainer.run(progress=False), trainer.resume, trainer.step):
        with pytest.raises(FolderInUse, match=f"process {holder.pid}"):
            method()
        assert not (tmp_path / "run" / "log.csv").exists()


def test_one_process_may_make_trainer_after_trainer(tmp_path):
    """As a notebook does: the first one still exists when the second resumes."""
    first = make(tmp_path / "run")
    first.step()
    first.save()
    second = make(tmp_path / "run").resume()
    assert second.run(progress=False).step == [1, 2, 3, 4]
    with locked(tmp_path / "run"), locked(tmp_path / "run"):
        pass


def test_a_folder_that_stays_empty_is_taken_away_again_and_no_other(tmp_path):
    (tmp_path / "a").mkdir()
    with locked(tmp_path / "a" / "b" / "c"):
        assert (tmp_path / "a" / "b" / "c" / lock.NAME).exists()
    assert (tmp_path / "a").exists() and not (tmp_path / "a" / "b").exists()
    with locked(tmp_path / "a"):
        (tmp_path / "a" / "kept").write_text("x")
    assert [f.name for f in (tmp_path / "a").iterdir()] == ["kept"]


def test_without_locks_of_the_system_training_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", None)
    with locked(tmp_path / "run"):
        make(tmp_path / "run").run(progress=False)
    assert load(tmp_path / "run" / "checkpoint.safetensors").step == 4


def test_with_the_locks_of_windows(tmp_path, monkeypatch):
    """msvcrt.locking, whose documentation promises EACCES (13) or EDEADLOCK (36) for a region that is locked."""
    calls, held = [], [False]

    def locking(number, mode, size):
        calls.append((os.lseek(number, 0, os.SEEK_CUR), mode, size))
        if held[0]:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(LK_NBLCK=2, locking=locking))
    with locked(tmp_path / "run"):
        assert calls == [(1 << 20, 2, 1)]
    held[0] = True
    with pytest.raises(FolderInUse, match="another run"), locked(tmp_path / "run"):
        pytest.fail("not held off")


def test_a_file_system_without_locks_blocks_nothing(tmp_path, monkeypatch):
    def no_locks(file, mode):
        raise OSError(37, "No locks available")

    fake = types.SimpleNamespace(LOCK_EX=2, LOCK_NB=4, lockf=no_locks)
    monkeypatch.setitem(sys.modules, "fcntl", fake)
    with locked(tmp_path / "run"):
        pass

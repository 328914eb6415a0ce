"""What befalls a job: killed ranks, ranks that differ, a full disk, errors. Every job ends by itself, with one message."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minidiff.interop.exchange import export
from minidiff.mpi import launched
from minidiff.training import load

PROGRAM = Path(__file__).with_name("program.py")


def messages(end):
    return [line for line in end.stderr.splitlines() if "minidiff: error" in line or "minidiff train: error" in line]


@pytest.mark.parametrize(("ranks", "rank", "step"), [(2, 1, 4), (3, 0, 4)])
def test_a_killed_rank_ends_the_job_which_names_rank_and_step_and_can_be_resumed(mpirun, tmp_path, ranks, rank, step):
    start = time.monotonic()
    end = mpirun(ranks, PROGRAM, "killed", tmp_path, rank, step)
    assert end.returncode != 0 and time.monotonic() - start < 30
    (told,) = messages(end)
    assert told.startswith(f"minidiff: error: rank {rank} (process ") and f"was killed during step {step};" in told
    assert load(tmp_path / "checkpoint.safetensors").step == (step - 1) // 2 * 2
    end = mpirun(5 - ranks, PROGRAM, "run", tmp_path, 6, 40)
    assert end.returncode == 0 and load(tmp_path / "checkpoint.safetensors").step == 6


def test_a_rank_that_something_else_kills_ends_the_job_within_ten_seconds(mpirun, tmp_path):
    killed = []

    def kill(process):
        log, deadline = tmp_path / "log.csv", time.monotonic() + 40
        while not log.exists() or len(log.read_text().splitlines()) < 4:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        pids, wanted = map(int, filter(str.isdigit, os.listdir("/proc"))), [str(PROGRAM), "run", str(tmp_path)]
        ranks = [pid for pid in pids if command(pid)[1:4] == wanted]
        killed.extend([ranks[-1], time.monotonic()])
        os.kill(ranks[-1], signal.SIGKILL)

    end = mpirun(2, PROGRAM, "run", tmp_path, 4000, 4000, before_end=kill)
    assert time.monotonic() - killed[1] < 10
    (told,) = messages(end)
    assert f"(process {killed[0]} on " in told and "was killed during step " in told


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("batch_size", "batch_size: got 6 on rank 1, expected 7 as on rank 0"),
        ("seed", "seed: got 5 on rank 1, expected 4 as on rank 0"),
        ("images", "images: got arrays with SHA-256 "),
        ("minidiff", "minidiff: got 0.0.1 on rank 1, expected "),
    ],
)
def test_ranks_that_differ_are_found_before_the_first_step(mpirun, tmp_path, what, message):
    end = mpirun(2, PROGRAM, "differ", tmp_path, what)
    assert end.returncode == 1 and end.stderr.count("ValueError: the ranks of this job differ") == 1
    assert message in end.stderr and not list(tmp_path.iterdir())


def test_a_full_disk_on_rank_0_ends_all_ranks_and_the_log_is_kept(mpirun, tmp_path):
    end = mpirun(2, PROGRAM, "full", tmp_path)
    assert end.returncode == 1 and end.stderr.count("cannot write") == 1
    assert "the limit on file size is reached" in end.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"log.csv", ".lock"}


def test_an_uncaught_error_of_one_rank_ends_the_job_with_its_traceback(mpirun, tmp_path):
    end = mpirun(2, PROGRAM, "raises", tmp_path)
    assert end.returncode == 1 and not messages(end)
    assert end.stderr.count("rank 1: Traceback") == 1 and "ValueError: x: got 1, expected 2" in end.stderr


def test_the_command_fails_with_one_message(mpirun, tmp_path):
    end = mpirun(3, "-m", "minidiff", "train", "--out", tmp_path, "--set", "model.no_such=3")
    assert end.returncode == 2 and len(messages(end)) == 1 and "model.no_such" in end.stderr and not end.stdout
    end = mpirun(2, "-m", "minidiff", "samplers")  # which rank 0 alone runs
    assert end.returncode == 0 and end.stdout.count("dpmpp_2m ") == 1
    end = mpirun(3, "-m", "minidiff", "train", "--no-such-flag")
    assert end.returncode == 2 and end.stderr.count("unrecognized arguments") == 1


def test_the_command_trains_resumes_and_samples(mpirun, tmp_path):
    fixed = ("--no-progress", "--set", "model.block_out_channels=[8,8]", "--set", "model.norm_num_groups=4",
             "--set", "model.attention_head_dim=8", "--batch-size", "8", "--sample-every", "2", "--out", tmp_path)  # fmt: skip
    end = mpirun(2, "-m", "minidiff", "train", "--steps", "3", *fixed)
    assert end.returncode == 0, end.stderr
    assert end.stdout.count("training ") == 1 and not end.stderr
    assert "\non 2 ranks, gradients by MPI, through host memory\n" in end.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors", "log.csv", "loss.png", "samples_000002.png"}
    end = mpirun(3, "-m", "minidiff", "train", "--steps", "5", "--resume", *fixed)
    assert end.returncode == 0, end.stderr
    assert "at step 3" in end.stdout and load(tmp_path / "checkpoint.safetensors").step == 5
    export(tmp_path / "checkpoint.safetensors", tmp_path / "exported")
    for name, source in (
        ("run", [tmp_path]),
        ("pretrained", ["--pretrained", tmp_path / "exported", "--frugal", "--class", "3"]),
    ):
        for ranks in (1, 2):
            end = mpirun(ranks, "-m", "minidiff", "sample", *source, "-n", "10", "--steps", "2", "--no-progress", "--out",
                         tmp_path / f"{name}{ranks}.png")  # fmt: skip
            assert end.returncode == 0 and end.stdout.count("10 samples") == 1, end.stderr
        assert (tmp_path / f"{name}1.png").read_bytes() == (tmp_path / f"{name}2.png").read_bytes()


def run(code, **env):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env={**os.environ, **env})


ENTER = "import sys; sys.modules['mpi4py'] = None\nfrom minidiff.cli import main\nsys.exit(main(['samplers']))"


def test_mpiexec_without_mpi4py_tells_what_to_install():
    end = run(ENTER, PMI_RANK="0", PMI_SIZE="4")
    assert end.returncode == 1 and not end.stdout
    told = "minidiff samplers: error: mpiexec started 4 ranks, which need mpi4py: pip install 'minidiff[mpi]'"
    assert end.stderr.startswith(told)
    end = run(ENTER, PMI_RANK="1", PMI_SIZE="4")
    assert end.returncode == 1 and not end.stdout and not end.stderr  # rank 0 says it


def test_without_mpiexec_or_with_the_switch_mpi4py_is_not_even_imported():
    for env in ({}, {"PMI_RANK": "0", "PMI_SIZE": "4", "MINIDIFF_MPI": "0"}, {"PMI_RANK": "0", "PMI_SIZE": "1"}):
        end = run(ENTER, **env)
        assert end.returncode == 0 and "ddim" in end.stdout, end.stderr


def test_an_mpi4py_of_another_mpi_than_the_launcher_is_named(mpirun):
    end = run("from minidiff.mpi import world; world()", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="2")
    assert end.returncode == 1 and "mpiexec started 2 ranks, but mpi4py sees 1: it was built for another MPI" in end.stderr


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, None),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, (2, 4)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ({"PMIX_RANK": "3", "SLURM_STEP_NUM_TASKS": "8"}, (3, 8)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, None),  # a batch script of Slurm, outside srun
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
    ],
)
def test_the_launchers_are_recognised_by_their_variables(monkeypatch, env, found):
    for name in ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert launched() == found

"""The GPU report, rehearsed from beginning to end on the emulators, in a process where optional packages are missing."""

import functools
import json
import os
import re
import subprocess
import sys
import time
import types
from pathlib import Path

import cuda_on_cpu
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
MISSING = ("pooch", "diffusers", "nbclient", "platformdirs", "importlib_metadata", "torch", "transformers", "requests")
SITE = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def report(tmp_path, *options, site=""):
    """(finished process, report.json) of a rehearsal without network or optional packages."""
    (tmp_path / "sitecustomize.py").write_text(SITE + site)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MINIDIFF_DATA": str(tmp_path), "no_proxy": ""}
    ran = subprocess.run([sys.executable, str(ROOT / "scripts" / "gpu_report.py"), "--out", str(tmp_path / "out"), "--emulate",
                          *options], capture_output=True, text=True, env=environment, cwd=tmp_path)  # fmt: skip
    return ran, json.loads((tmp_path / "out" / "report.json").read_text())


@pytest.mark.slow
@pytest.mark.skipif(cuda_on_cpu.COMPILER is None, reason="g++ is not installed, and the kernels are run through it")
def test_every_stage_passes_or_names_what_is_missing(tmp_path):
    ran, found = report(tmp_path)
    lines = (tmp_path / "out" / "report.txt").read_text().splitlines()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines() == lines and [line.split()[1] for line in lines] == list(found)
    outcomes = {name: row["outcome"] for name, row in found.items()}
    skipped = {"memory", "profile", "sanitize"}  # they need a card, and their lines say so
    assert outcomes == {name: "skipped" if name in skipped else "passed" for name in outcomes} and len(outcomes) == 11
    assert found["train"]["found"]["relative_loss"] < 1e-4 and found["train"]["found"]["images"] < 1e-3
    assert found["replay"]["found"]["equal_weights"] > 1000 and found["strict"]["found"]["passed"] == 3
    agreement = json.loads((tmp_path / "out" / "gpu.json").read_text())["agreement"]
    assert agreement["replay_equals_eager_bits"] and agreement["relative_loss"] < 1e-4
    assert len(found["train"]["found"]["losses_cuda"]) == 20
    for image in ("ddim_cpu.png", "ddim_cuda.png", "demo_samples.png"):
        assert (tmp_path / "out" / image).read_bytes().startswith(b"\x89PNG")
    left = list((tmp_path / "out").iterdir())
    assert len(left) <= 8 and all(path.is_file() for path in left), left  # as docs/gpu.md promises


def test_a_failure_is_reported_in_full_and_the_next_stage_runs(tmp_path):
    site = "if '--result' in sys.orig_argv and 'replay' in sys.orig_argv: sys.modules['minidiff.rng'] = None\n"
    ran, found = report(tmp_path, "--stages", "replay", "memory", site=site)
    assert ran.returncode == 1 and list(found) == ["replay", "memory"]
    assert found["replay"]["outcome"] == "failed" and found["memory"]["outcome"] == "skipped"
    told = (tmp_path / "out" / "report.txt").read_text()
    assert "The first error, in replay:\nexit code 1\nTraceback (most recent call last)" in told and "minidiff.rng" in told
    assert re.match(r"failed   replay +[\d.]+ s  exit code 1: \w+Error: .*minidiff.rng", told.splitlines()[0])


def test_a_stage_past_its_limit_is_stopped_and_reported(tmp_path):
    site = "import time\nif '--result' in sys.orig_argv and 'memory' in sys.orig_argv: time.sleep(60)\n"
    ran, found = report(tmp_path, "--stages", "memory", "--limit", "6", site=site)
    assert ran.returncode == 1 and found["memory"]["outcome"] == "failed" and found["memory"]["seconds"] < 30
    assert found["memory"]["error"].startswith("stopped after 6 seconds")


@pytest.mark.slow
@pytest.mark.skipif(cuda_on_cpu.COMPILER is None, reason="g++ is not installed, and the kernels are run through it")
def test_numbers_that_are_too_far_apart_are_in_the_report_with_the_failure(tmp_path):
    """The device is given other weights, so its losses are other ones."""
    site = """
if '--result' in sys.orig_argv and 'train' in sys.orig_argv:
    import minidiff.models.unet as unet
    to = unet.UNet.to
    def moved(self, device):
        for param in self.parameters().values() if device == "cuda" else ():
            param.value *= 1.5
        return to(self, device)
    unet.UNet.to = moved
"""
    ran, found = report(tmp_path, "--stages", "train,memory", site=site)
    assert ran.returncode == 1 and [row["outcome"] for row in found.values()] == ["failed", "skipped"]
    assert "losses differ by" in found["train"]["error"] and len(found["train"]["found"]["losses_cpu"]) == 20
    assert found["train"]["found"]["relative_loss"] > 1e-4


def test_a_stopped_report_stops_its_stage_and_keeps_what_was_found(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, sys, time
if '--result' in sys.orig_argv and 'profile' in sys.orig_argv:
    open({str(tmp_path / "stage.pid")!r}, 'w').write(str(os.getpid()))
    time.sleep(60)
""")
    command = [sys.executable, str(ROOT / "scripts" / "gpu_report.py"), "--out", str(tmp_path / "out"), "--emulate",
               "--stages", "memory", "profile"]  # fmt: skip
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if (tmp_path / "stage.pid").exists() and (tmp_path / "stage.pid").read_text():
                break
            time.sleep(0.1)
        running.terminate()
        assert running.wait(30) == 143
    finally:
        running.kill()
        running.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "stage.pid").read_text()), 0)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["memory"]["outcome"] == "skipped"


def test_without_a_gpu_each_stage_reports_it_in_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['cupy'] = None\n")
    command = [sys.executable, str(ROOT / "scripts" / "gpu_report.py"), "--out", str(tmp_path / "out")]
    ran = subprocess.run([*command, "--stages", "facts", "replay"], capture_output=True, text=True,
                         env=os.environ | {"PYTHONPATH": str(tmp_path)})  # fmt: skip
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert ran.returncode == 1 and all("device 'cuda' needs CuPy" in line for line in ran.stdout.splitlines())
    assert all(row["error"].count("\n") == 1 for row in found.values()) and len(found) == 2
    assert found["facts"]["found"]["packages"]["numpy"] == np.__version__


def test_an_unknown_stage_is_named(tmp_path):
    ran = subprocess.run([sys.executable, str(ROOT / "scripts" / "gpu_report.py"), "--stages", "facts,bnech"],
                         capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert ran.returncode == 2 and "--stages: got facts, bnech, expected some of facts, kernels" in ran.stderr
    assert list(tmp_path.iterdir()) == []


# ---- stages that need a tool of the card's, with a stand-in for the tool ---------------------------------------------------


@pytest.fixture
def stages(monkeypatch, tmp_path):
    for folder in ("scripts", "benchmarks"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    import gpu_stage_tools
    import gpu_stages

    monkeypatch.setattr(gpu_stage_tools, "result", tmp_path / "found.json")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return gpu_stages


def tool(path, script):
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)


def test_the_profile_is_summed_by_kernel_and_leaves_the_clocks_alone(stages, tmp_path):
    tool(
        tmp_path / "ncu",
        f"""echo "$@" > {tmp_path}/asked
cat <<'END'
==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Metric Name","Metric Unit","Metric Value"
"0","7","im2col(const float *, int)","gpu__time_duration.sum","ns","1,500"
"1","7","softmax_forward(float *)","gpu__time_duration.sum","us","4.25"
"2","7","im2col(const float *, int)","gpu__time_duration.sum","ns","500"
END
""",
    )
    found = stages.profile(None, tmp_path, False)
    assert found == {"microseconds": {"softmax_forward": 4.2, "im2col": 2.0}, "sum": 6.25}
    assert "--clock-control none" in (tmp_path / "asked").read_text()
    tool(tmp_path / "ncu", "echo Failed to initialize the profiler: LibraryNotLoaded >&2; exit 1\n")
    with pytest.raises(AssertionError, match="LibraryNotLoaded"):
        stages.profile(None, tmp_path, False)


def test_both_sanitizers_run_without_the_pool_and_a_finding_fails(stages, tmp_path):
    tool(
        tmp_path / "compute-sanitizer",
        f'echo "$2 $MINIDIFF_NO_POOL" >> {tmp_path}/asked\ntest $2 = memcheck && exit 9\n exit 0\n',
    )
    with pytest.raises(AssertionError, match=r"memcheck.*exit code 9"):
        stages.sanitize(None, tmp_path, False)
    assert (tmp_path / "asked").read_text() == "memcheck 1\nracecheck 1\n"
    assert json.loads((tmp_path / "found.json").read_text())["racecheck"] == "clean"


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
def test_memory_is_what_the_device_has_less(stages, tmp_path, xp, monkeypatch):
    import gpu_bench

    monkeypatch.setattr(gpu_bench, "Bench", functools.partial(gpu_bench.Bench, **stages.small_bench()))
    free = iter([1000, 900, 700])
    runtime = types.SimpleNamespace(memGetInfo=lambda: (next(free) << 20, 2000 << 20))
    monkeypatch.setattr(xp.cuda, "runtime", runtime, raising=False)
    monkeypatch.setattr(xp.cuda, "Device", lambda: types.SimpleNamespace(synchronize=lambda: None), raising=False)
    monkeypatch.setattr(xp, "get_default_memory_pool", lambda: types.SimpleNamespace(free_all_blocks=int), raising=False)
    assert stages.memory(xp, tmp_path, False) == {"sampling_batch_1_MiB": 100.0, "training_batch_2_MiB": 300.0}


@pytest.mark.parametrize(("option", "message"), [
    (("--limit", "3"), "--limit: got 3.0, expected at least 5 seconds"),
    (("--minutes", "0"), "--minutes: got 0.0, expected a number above 0"),
])  # fmt: skip
def test_a_bad_time_is_named(tmp_path, option, message):
    command = [sys.executable, str(ROOT / "scripts" / "gpu_report.py"), "--out", str(tmp_path), *option]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and message in ran.stderr


def test_no_time_left_is_a_skip_with_its_reason(tmp_path):
    ran, found = report(tmp_path, "--minutes", "0.01", "--stages", "facts")
    assert ran.returncode == 0 and found["facts"] == {"outcome": "skipped", "seconds": 0.0,
                                                      "reason": "no time left of --minutes"}  # fmt: skip

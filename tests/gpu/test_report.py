"""The GPU report, rehearsed from beginning to end on the emulators, in a process where optional packages are missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cuda_on_cpu
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
def test_every_stage_passes_or_says_what_it_lacks(tmp_path):
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
    for image in ("ddim_cpu.png", "ddim_cuda.png", "toy.png"):
        assert (tmp_path / "out" / image).read_bytes().startswith(b"\x89PNG")


def test_a_failure_is_told_whole_and_the_next_stage_runs(tmp_path):
    site = "if 'replay' in sys.orig_argv: sys.modules['minidiff.rng'] = None\n"
    ran, found = report(tmp_path, "--stages", "replay", "memory", site=site)
    assert ran.returncode == 1 and list(found) == ["replay", "memory"]
    assert found["replay"]["outcome"] == "failed" and found["memory"]["outcome"] == "skipped"
    told = (tmp_path / "out" / "report.txt").read_text()
    assert "The first error, in replay:\nexit code 1\nTraceback (most recent call last)" in told and "minidiff.rng" in told


def test_a_stage_past_its_limit_is_stopped_and_told(tmp_path):
    site = "import time\nif 'memory' in sys.orig_argv: time.sleep(60)\n"
    ran, found = report(tmp_path, "--stages", "memory", "--limit", "6", site=site)
    assert ran.returncode == 1 and found["memory"]["outcome"] == "failed" and found["memory"]["seconds"] < 30
    assert found["memory"]["error"].startswith("stopped after 6 seconds")


def test_no_time_left_is_a_skip_with_its_reason(tmp_path):
    ran, found = report(tmp_path, "--minutes", "0.01", "--stages", "facts")
    assert ran.returncode == 0 and found["facts"] == {"outcome": "skipped", "seconds": 0.0,
                                                      "reason": "no time left of --minutes"}  # fmt: skip

"""The benchmark runs, compares like with like, and writes what the documentation's tables are made from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")


def bench(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.cpu", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_rows_hold_both_sides_and_their_ratio(tmp_path):
    file = tmp_path / "figures.json"
    told = bench("ops", "steps", "--only", "8x8, width 32, batch 1", "--seconds", 0.01, "--threads", 1, "--json", file)
    assert "sampling step 8x8, width 32, batch 1 " in told
    rows = json.loads(file.read_text())["rows"]
    assert {row["group"] for row in rows} == {"training step", "sampling step"}
    for row in rows:
        assert row["net"] == "8 x 8, width 32" and row["pairs"] >= 5
        assert row["low"] <= row["ratio"] <= row["high"] and row["ours"] > 0 and row["theirs"] > 0


@pytest.mark.slow
def test_diffusion_transformers_are_compared_with_both_peers(tmp_path):
    """The benchmark itself compares the outputs of the three models."""
    file, net = tmp_path / "figures.json", "28 x 28, patch 4, width 128, depth 4"
    bench(
        "dit",
        "--only",
        f"DiT {net.replace(' x ', 'x')}, batch 8",
        "--seconds",
        0.01,
        "--threads",
        1,
        "--cpu-time",
        "--json",
        file,
    )
    found = json.loads(file.read_text())
    assert [(row["group"], row["net"], row["batch"]) for row in found["rows"]] == [
        ("DiT training step", net, 8), ("DiT sampling step", net, 8)
    ]  # fmt: skip
    assert {row["layout"] for row in found["rows"]} <= {"plain", "diffusers"} and found["machine"]["blas"]
    assert found["machine"]["clock"] == "CPU time"


def test_unknown_part_is_named():
    done = subprocess.run([sys.executable, "-m", "benchmarks.cpu", "opps"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown part opps" in done.stderr


def test_cpu_time_needs_one_thread():
    done = subprocess.run([sys.executable, "-m", "benchmarks.cpu", "--cpu-time"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "--cpu-time: cannot be combined with --threads 2; use --threads 1" in done.stderr

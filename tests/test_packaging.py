"""What a fresh machine meets: the requirements agree, the import is light, nothing starts by itself."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minidiff

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _lines(commented):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    found = [line.lstrip("# ").strip() for line in lines if line.startswith("#") == commented and line.strip()]
    return {line for line in found if re.match(r"^[a-z0-9-]+(\[[a-z]+\])?[><=!~]", line)}


def test_requirements_are_those_of_pyproject():
    extras = PROJECT["optional-dependencies"]
    assert _lines(commented=False) == {*PROJECT["dependencies"], *extras["notebooks"], *extras["test"]}
    assert _lines(commented=True) == {*extras["cuda12"], *extras["cuda13"]}


def test_no_bare_cupy():
    everything = itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    assert not [line for line in everything if re.match(r"cupy\b(?!-)", line)]  # source only: it breaks a CPU install


@pytest.fixture(scope="module")
def fresh_import():
    code = """
import json, sys, threading, time
before = {m.partition(".")[0] for m in sys.modules}
import numpy
start = time.perf_counter()
import minidiff
seconds = time.perf_counter() - start
names = dir(minidiff)
import minidiff.nn, minidiff.ops, minidiff.models, minidiff.diffusion, minidiff.samplers, minidiff.training, minidiff.data
import minidiff.gradcheck, minidiff.metrics, minidiff.selfcheck, minidiff.viz
minidiff.selfcheck.run_seed(minidiff.selfcheck.ops.group_norm, 0)
others = {m.partition(".")[0] for m in sys.modules} - before - set(sys.stdlib_module_names)
heavy = [m for m in ("matplotlib", "cupy", "tqdm", "pooch", "PIL", "safetensors", "torch", "scipy") if m in sys.modules]
found = {"seconds": seconds, "names": names, "heavy": heavy, "others": sorted(others), "threads": threading.active_count()}
print(json.dumps(found))
"""
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_import_is_light(fresh_import):
    assert fresh_import["heavy"] == [] and fresh_import["threads"] == 1


def test_gradients_are_checked_with_numpy_alone(fresh_import):
    assert fresh_import["others"] == ["minidiff", "numpy"]


def test_dir_lists_the_public_names_before_their_first_use(fresh_import):
    names = fresh_import["names"]
    assert {"ops", "nn", "models", "diffusion", "samplers", "training", "gradcheck", "sample", "set_threads"} <= set(names)
    for name in names:
        getattr(minidiff, name)


def test_import_takes_less_than_0_3_seconds():
    """NumPy's own time counted in, best of three: the machine may be busy with other tests."""
    code = "import time; s = time.perf_counter(); import minidiff; print(time.perf_counter() - s)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout for _ in range(3)]
    assert min(map(float, runs)) < 0.3


def test_cupy_is_imported_in_backend_and_gpu_only():
    for file in (ROOT / "minidiff").rglob("*.py"):
        if file.name != "backend.py" and "gpu" not in file.parts:
            assert not re.search(r"^\s*(import|from) cupyx?\b", file.read_text(), re.M), file


def test_pre_commit_runs_the_ruff_of_the_project():
    wanted = next(line for line in PROJECT["optional-dependencies"]["test"] if line.startswith("ruff"))
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert hooks.count(f'additional_dependencies: ["{wanted}"]') == hooks.count("- id: ") == 2


def test_an_editable_install_needs_the_root_of_the_repository_alone():
    """`make demo` installs with -e. Hatchling rejects that where a wheel renames files, unless `dev-mode-dirs` is set."""
    build = pytest.importorskip("hatchling.builders.wheel", reason="the extra `lite` is not installed")
    assert build.WheelBuilder(str(ROOT)).config.dev_mode_dirs == ["."]

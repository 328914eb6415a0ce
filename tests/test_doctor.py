"""`minidiff doctor` reports what is there and what is missing, whatever the state of CuPy and its driver."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import numpy
import pytest

from minidiff import doctor
from minidiff.cli import main

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def test_it_prints_the_versions_that_are_installed(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"numpy          {numpy.__version__}" in said and sys.executable in said
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["safetensors"] == importlib.metadata.version("safetensors")
    assert found["packages"]["pillow"] == importlib.metadata.version("pillow")


def _broken():
    fake = types.ModuleType("cupy")
    fake.is_available = lambda: True

    def zeros(n):
        raise RuntimeError("cudaErrorInsufficientDriver:\n  the driver is insufficient\n")

    fake.zeros = zeros
    return fake


@pytest.mark.parametrize("machine, said", [(lambda: None, "needs CuPy"), (_broken, "cudaErrorInsufficientDriver")])
def test_an_unusable_gpu_is_one_line(monkeypatch, machine, said):
    monkeypatch.setitem(sys.modules, "cupy", machine())
    found = doctor.device()
    assert found["default"] == "cpu" and found["cuda"].startswith("not usable: ") and said in found["cuda"]
    assert "\n" not in found["cuda"]


def test_a_missing_package_is_named_with_what_it_enables(monkeypatch):
    find = doctor.importlib.util.find_spec
    missing = {"diffusers", "pooch", "huggingface_hub"}
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("MINIDIFF_DATA", raising=False)
    found = doctor.examine()
    assert found["packages"]["pooch"] == "MISSING: pip install pooch"
    assert found["optional"]["diffusers"].endswith("(pip install 'minidiff[compare]'): comparisons with diffusers")
    assert found["caches"]["data"].startswith("unknown: ") and "MINIDIFF_DATA" in found["caches"]["data"]


def test_the_required_packages_are_the_dependencies_of_the_project():
    assert list(doctor.REQUIRED.values()) == [re.match(r"[a-z0-9-]+", line)[0] for line in PROJECT["dependencies"]]


def test_every_extra_is_listed_with_a_package_of_it():
    extras = PROJECT["optional-dependencies"]
    told = {}
    for distribution, install, enables in doctor.OPTIONAL.values():
        for extra in re.findall(r"\[(\w+)\]", install):
            told.setdefault(extra, []).append(distribution)
        assert enables
    assert set(told) == set(extras)
    for extra, distributions in told.items():
        wanted = " ".join(extras[extra])
        assert all(distribution in wanted for distribution in distributions), extra


def test_it_works_without_optional_packages(tmp_path):
    """In a process of its own, with all that is optional, pooch and threadpoolctl blocked: one line for each."""
    blocked = [*doctor.OPTIONAL, "pooch", "threadpoolctl"]
    (tmp_path / "sitecustomize.py").write_text(f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Blocked())
""")
    environment = {name: value for name, value in os.environ.items() if name != "MINIDIFF_DATA"}
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    ran = subprocess.run([sys.executable, "-m", "minidiff", "doctor"], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0 and not ran.stderr
    for name in doctor.OPTIONAL:
        assert re.search(rf"^  {name} +not installed \(pip install ", ran.stdout, re.M), name
    assert "MISSING: pip install pooch" in ran.stdout and "set MINIDIFF_DATA" in ran.stdout
    assert "unknown: threadpoolctl is not installed" in ran.stdout

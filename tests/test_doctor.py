"""`minidiff doctor` reports what is there and what is missing, whatever the state of CuPy and its driver."""

import importlib.metadata
import json
import sys
import types

import numpy
import pytest

from minidiff import doctor
from minidiff.cli import main


def test_it_prints_the_versions_that_are_installed(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"numpy          {numpy.__version__}" in said and sys.executable in said
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["packages"]["safetensors"] == importlib.metadata.version("safetensors")
    assert found["optional"]["PIL"] == importlib.metadata.version("pillow")


def _broken():
    fake = types.ModuleType("cupy")
    fake.is_available = lambda: True

    def zeros(n):
        raise RuntimeError("cudaErrorInsufficientDriver:\n  the driver is insufficient\n")

    fake.zeros = zeros
    return fake


@pytest.mark.parametrize("machine, said", [(lambda: None, "needs CuPy"), (_broken, "cudaErrorInsufficientDriver")])
def test_a_gpu_that_cannot_be_used_is_one_line(monkeypatch, machine, said):
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

"""Commands with --device cuda: one line where there is no GPU, and a whole run on the stand-in where there is."""

import argparse
import sys
import types

import numpy as np
import pytest

from minidiff import cli
from minidiff.cli import main
from minidiff.training import load

one_order = pytest.mark.parametrize("xp", ["forwards", pytest.param("cupy", marks=pytest.mark.gpu)], indirect=True)
TINY = ["--set", "model.block_out_channels=[8]", "--set", "model.norm_num_groups=2", "--set", "model.attention_head_dim=4",
        "--set", "diffusion.T=20", "--batch-size", "2", "--no-progress"]  # fmt: skip
WITH_DEVICE = {
    "train": ["--data", "digits"],
    "sample": ["runs/nowhere"],
    "demo": [],
}


def _no_driver():
    fake = types.ModuleType("cupy")
    fake.is_available = lambda: False
    return fake


def _old_driver():
    def zeros(n):
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version")

    fake = types.ModuleType("cupy")
    fake.is_available, fake.zeros = lambda: True, zeros
    return fake


@pytest.mark.parametrize("machine", [lambda: None, _no_driver, _old_driver], ids=["no CuPy", "no driver", "old driver"])
@pytest.mark.parametrize("command", WITH_DEVICE)
def test_without_a_usable_gpu_one_line_and_nothing_written(monkeypatch, tmp_path, capsys, command, machine):
    monkeypatch.setitem(sys.modules, "cupy", machine())
    monkeypatch.chdir(tmp_path)
    assert main([command, *WITH_DEVICE[command], "--device", "cuda"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"minidiff {command}: error: device 'cuda'") and said.err.count("\n") == 1 and not said.out
    assert list(tmp_path.iterdir()) == []


def test_every_command_with_a_device_is_listed():
    found = set()
    for module in cli.COMMANDS:
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        if any("--device" in action.option_strings for action in parser._actions):
            found.add(module.__name__.rpartition(".")[2])
    assert found == set(WITH_DEVICE)


@one_order
def test_train_resume_and_sample(xp, tmp_path):
    """A run on the device, resumed there and on the CPU, is the CPU's run to rounding; its checkpoint serves both."""
    folders = {}
    for device in ("cpu", "cuda"):
        folders[device] = tmp_path / device
        train = ["train", "--out", str(folders[device]), "--device", device, *TINY]
        assert main([*train, "--steps", "4"]) == 0
        assert (
            main(["train", "--out", str(folders[device]), "--device", device, "--resume", "--steps", "5", "--no-progress"]) == 0
        )
    here, there = (load(folders[device] / "checkpoint.safetensors") for device in ("cpu", "cuda"))
    assert here.config == there.config and here.random == there.random and here.step == there.step == 5
    for name, array in here.weights.items():
        if name.endswith("to_k.bias"):  # its gradient is zero but for rounding, which AdamW divides by its own size
            assert np.abs(array - there.weights[name]).max() <= 2 * 5 * 2e-3, name  # five steps of at most the learning rate
            continue
        assert np.linalg.norm(array - there.weights[name]) <= 1e-3 * np.linalg.norm(array) + 1e-4, name
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.png"
        assert main(["sample", str(folders["cuda"]), "--device", device, "--count", "2", "--class", "3", "--guidance", "1",
                     "--steps", "9", "--out", str(out), "--no-progress"]) == 0  # fmt: skip
        assert out.stat().st_size > 100


@one_order
def test_eager_is_the_graph_to_the_bit(xp, tmp_path):
    for flags, name in (([], "graph"), (["--eager"], "eager")):
        train = ["train", "--out", str(tmp_path / name), "--device", "cuda", *TINY, *flags]
        assert main([*train, "--steps", "4"]) == 0
    files = [(tmp_path / name / "checkpoint.safetensors").read_bytes() for name in ("graph", "eager")]
    assert files[0] == files[1]

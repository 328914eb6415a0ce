"""Every rung of the benchmark runs to its end, at a tenth of a toy's size, where there is no card to time."""

import json
import subprocess
import sys
import types
import unittest.mock
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_bench.py"
TINY = dict(sample_size=4, block_out_channels=(4, 8), layers_per_block=1, attention_head_dim=4, norm_num_groups=2)


@pytest.fixture(scope="module")
def script():
    import gpu_bench

    return gpu_bench


def _once(f, calls):
    f()
    return 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
@pytest.mark.parametrize("rung", ["bandwidth", "update", "convolution", "training_step", "sampling_step", "agreement"])
def test_rung(script, xp, rung):
    bench = script.Bench(xp, _once, TINY, images=4, batches=(2,), samples=(1,), repeats=1, steps=2)
    found = getattr(script, rung)(bench)
    assert found and json.dumps(found)
    if rung == "agreement":
        assert found["relative_loss"] < 1e-4 and found["replay_equals_eager_bits"]


@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
def test_what_was_measured_before_a_failure_or_an_end_is_kept(script, xp, monkeypatch):
    """The rungs after one that raises still run, compiled peers come last, and the file is whole after each measurement."""

    def update(bench):
        raise RuntimeError("out of memory")

    def training_step(bench):
        for half in ({"graph_fp32_ms": 2.0}, {"graph_fp32_ms": 2.0, "graph_tf32_ms": 1.0}):
            bench.keep({"batch 2": half})
        return {"batch 2": half}

    def beside(bench, name, tf32, make, ours, how):
        return {f"ratio_to_torch_compile_{name}": ours / 4}

    monkeypatch.setattr(script, "RUNGS", (update, training_step))
    monkeypatch.setattr(script.gpu_torch, "beside_torch", beside)
    found, kept = {}, []
    with pytest.raises(RuntimeError, match="out of memory"):
        script.climb(xp, found, lambda: kept.append(json.loads(json.dumps(found))), net=TINY, batches=(2,), samples=(1,))
    assert [len(state["training_step"]["batch 2"]) for state in kept] == [1, 2, 2, 3, 4]
    assert kept[-1]["training_step"]["batch 2"] == {"graph_fp32_ms": 2.0, "graph_tf32_ms": 1.0,
                                                    "ratio_to_torch_compile_fp32": 0.5,
                                                    "ratio_to_torch_compile_tf32": 0.25}  # fmt: skip


def test_a_peer_that_does_not_run_is_reported(script, monkeypatch):
    torch = unittest.mock.Mock()
    monkeypatch.setattr(script.gpu_torch, "torch_with_a_card", lambda: torch)
    bench = types.SimpleNamespace(ms=lambda f: f())
    told = script.gpu_torch.beside_torch(bench, "tf32", True, lambda torch, compiled: lambda: 8.0, 2.0, "compile")
    assert told == {"torch_compile_tf32_ms": 8.0, "ratio_to_torch_compile_tf32": 0.25}
    assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is True

    def missing(torch, compiled):
        raise ModuleNotFoundError("No module named 'diffusers'")

    told = script.gpu_torch.beside_torch(bench, "fp32", False, missing, 2.0)
    assert told == {"torch_eager_fp32": "ModuleNotFoundError: No module named 'diffusers'"}


def test_reach_names_every_aim(script):
    """One row for each figure that is aimed at, ratios under both TF32 settings, and a verdict."""
    ratios = {"ratio_to_torch_fp32": 0.4, "ratio_to_torch_tf32": 0.6, "ratio_to_torch_compile_fp32": 1.01,
              "ratio_to_torch_compile_tf32": 1.0}  # fmt: skip
    found = script.reach({
        "bandwidth": {"share_of_copy": 0.85},
        "training_step": {"batch 8": ratios, "batch 128": ratios},
        "sampling_step": {"batch 1": ratios, "batch 4": ratios, "batch 16": ratios},
        "agreement": {"relative_loss": 2e-5, "replay_equals_eager_bits": True},
    })  # fmt: skip
    assert len(found) == 3 + 2 * 5 + 2 * 4 and json.dumps(found)
    held = {name for name, row in found.items() if row["held"]}
    assert "training_step, batch 8, fp32, ratio to PyTorch eager" in held
    assert "training_step, batch 8, tf32, ratio to PyTorch eager" not in held
    assert {name for name in found if "sampling" in name and "eager" in name}.isdisjoint(held) and len(held) == 6 + 4
    assert {name for name in held if "compile" in name} == {name for name in found if "tf32, ratio to torch.compile" in name}
    assert not any("batch 128" in name for name in found if "compile" in name)
    assert script.reach({"facts": {}}) == {}


def test_without_a_gpu_one_line(script):
    if script.gpu_torch.torch_with_a_card() is not None:
        pytest.skip("there is a card")
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert ran.returncode and ran.stderr.startswith("gpu_bench: device 'cuda'") and "Traceback" not in ran.stderr

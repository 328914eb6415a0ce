"""Every rung of the benchmark runs to its end, at a tenth of a toy's size, where there is no card to time."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_bench.py"
TINY = dict(sample_size=4, block_out_channels=(4, 8), layers_per_block=1, attention_head_dim=4, norm_num_groups=2)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu_bench", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("xp", ["forwards"], indirect=True)
@pytest.mark.parametrize("rung", ["bandwidth", "update", "convolution", "training_step", "sampling_step", "agreement"])
def test_rung(script, xp, blas, rung):
    from test_graph import StandInRecorder

    def once(f):
        f()
        return 1e-3

    bench = script.Bench(xp, once, lambda tf32: StandInRecorder(xp, blas), TINY, 4, (2,), repeats=1)
    found = getattr(script, rung)(bench)
    assert found and json.dumps(found)
    if rung == "agreement":
        assert found["relative"] < 1e-4


def test_without_a_card_one_line(script):
    if script._torch() is not None:
        pytest.skip("there is a card")
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True)
    assert ran.returncode and ran.stderr.startswith("gpu_bench: device 'cuda'") and "Traceback" not in ran.stderr

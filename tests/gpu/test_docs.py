"""The page on GPUs says what the code does: its few numbers, and every file of the room."""

from pathlib import Path

from minidiff.gpu.recorder import WARM_UPS
from minidiff.samplers.recorded_step import WORTH_IT
from minidiff.training.trainer import GPU_LOOK

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gpu.md").read_text()
WORDS = {2: "twice", 3: "third", 8: "eight"}


def test_numbers():
    assert f"every {GPU_LOOK} steps" in PAGE and f"at least {WORDS[WORTH_IT]} steps" in PAGE
    assert f"in its {WORDS[WARM_UPS + 1]} call" in PAGE and f"run {WORDS[WARM_UPS]} as it is" in PAGE


def test_every_kernel_is_on_the_page():
    for file in (ROOT / "minidiff" / "gpu" / "kernels").glob("*.cu"):
        assert f"kernels/{file.name}`" in PAGE, file.name

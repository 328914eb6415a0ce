"""The Python of README and CONTRIBUTING runs as printed, the claims are those of the commands, links lead somewhere."""

import csv
import json
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minidiff import selfcheck
from minidiff.nn import Layer
from minidiff.rng import Rng
from minidiff.samplers import SAMPLERS, convergence

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.slow
def test_the_quickstart_draws_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 15
    space, short = {}, BLOCKS[0]  # after 30 steps the loss is at 0.50 of where it began
    for printed, here in (("steps=300", "steps=30"), ("warmup=50", "warmup=5"), ("steps=20", "steps=5")):
        assert short.count(printed) == 1
        short = short.replace(printed, here)
    exec(short, space)
    assert (tmp_path / "digits.png").read_bytes()[:4] == b"\x89PNG"
    assert space["trainer"].history.loss[-1] < 0.6 * space["trainer"].history.loss[0]


def test_the_other_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS[1:]:
        exec(block, {})


def test_the_output_of_gradcheck_is_what_it_prints():
    """The same cases and counts. An error is a matter of the last digit, which another BLAS rounds in another way."""
    rows = re.findall(r"^\w+ +(\w+) +([\d.]+e-\d+) +(\d+)$", README, re.M)
    cases = {case.__name__: case for name, cases in vars(selfcheck).items() if name.isupper() for case in cases}
    assert len(rows) >= 5 and {name for name, _, _ in rows} <= set(cases)
    for name, shown, counted in rows:
        assert float(shown) < 1e-13
        if "UNet" not in name:  # those take seconds: tests/ops/test_gradients.py
            found = [selfcheck.run_seed(cases[name], seed) for seed in range(3)]
            assert sum(n for _, n in found) == int(counted) and max(error for error, _ in found) < 1e-13


def test_length_commands_and_links():
    assert len(README.splitlines()) < 180
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README + CONTRIBUTING):
        assert (ROOT / link).exists(), link


def test_the_sampler_of_contributing_is_ddim(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "plain_ddim", None)  # taken off the list again at the end
    exec(textwrap.dedent(re.search(r"```python\n(.*?)```", CONTRIBUTING, re.S)[1]), {})
    assert convergence.measure("plain_ddim") == convergence.measure("ddim")._replace(name="plain_ddim")


# ---- the first screen ----------------------------------------------------------------------------------------------------


def test_the_animation_goes_from_noise_to_digits():
    path = ROOT / re.search(r"\]\((.*?\.gif)\)", README)[1]
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as film:
        assert film.n_frames == 21 and film.info["loop"] == 0
        steps = []
        for i in range(film.n_frames):
            film.seek(i)
            steps.append(np.asarray(film.convert("L"), float) / 255)
    dark = [(frame < 0.1).mean() for frame in steps]  # the background of a digit: noise has less of it
    assert dark[-1] > 0.4 > dark[0] + 0.1


def number_of_gradients(case):
    """What `minidiff gradcheck --seeds 1` counts for a case: its float arrays and its parameters."""
    rng = Rng(0)
    f, arrays = case(lambda low, high: int(rng.integers(low, high + 1)), lambda *shape: rng.standard_normal(shape, np.float64))
    floats = sum(getattr(getattr(a, "dtype", None), "kind", None) == "f" for a in arrays)
    return floats + (len(f.parameters()) if isinstance(f, Layer) else 0)


def test_the_number_of_exact_gradients():
    kinds = (selfcheck.OPS, selfcheck.LAYERS, selfcheck.MODELS, selfcheck.PARTS, selfcheck.LOSSES, selfcheck.GUIDANCE)
    assert f"All {sum(number_of_gradients(case) for kind in kinds for case in kind):,} gradients" in README


def test_the_share_of_obeyed_prompts_and_the_minutes_of_training():
    with open(ROOT / "docs" / "studies" / "text_to_image.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["weight"] == "1" and row["samples"] == "500"]
    obeyed = {(row["system"], row["prompts"]): f"{100 * float(row['obeyed']):.0f}" for row in rows}
    minutes = {row["system"]: row["minutes"] for row in rows}
    shown = re.sub(r"\s+", " ", README)
    assert f"for {obeyed['stable_diffusion', 'seen']} % of 500 prompts, after {minutes['stable_diffusion']} minutes" in shown
    for system, name in (("stable_diffusion", "Stable Diffusion obeys"), ("imagen", "Imagen"), ("dalle2", "DALL-E 2")):
        seen, held_out = obeyed[system, "seen"], obeyed[system, "held out"]
        assert re.search(rf"{name} {seen}( %,)? and {held_out} %", shown), (system, seen, held_out)


def test_the_time_beside_torch():
    rows = json.loads((ROOT / "docs" / "performance" / "cpu.json").read_text())["rows"]
    ratios = [row["ratio"] for row in rows if row["group"] == "training step" and row["batch"] >= 8]
    assert len(ratios) > 20 and f"takes {min(ratios):.2f} to {max(ratios):.2f} times as long as in PyTorch" in README

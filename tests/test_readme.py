"""The Python of README and CONTRIBUTING runs as it is printed, and their links lead somewhere."""

import re
import textwrap
from pathlib import Path

import pytest

from minidiff import selfcheck
from minidiff.samplers import SAMPLERS, convergence

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.slow
def test_the_quickstart_draws_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 15
    space, short = {}, BLOCKS[0].replace("steps=300", "steps=60")  # after 60 the loss is at 0.45 of where it began
    exec(short, space)
    assert short != BLOCKS[0]
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
    assert len(README.splitlines()) < 200
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README + CONTRIBUTING):
        assert (ROOT / link).exists(), link


def test_the_sampler_of_contributing_is_ddim(monkeypatch):
    monkeypatch.setitem(SAMPLERS, "plain_ddim", None)  # taken off the list again at the end
    exec(textwrap.dedent(re.search(r"```python\n(.*?)```", CONTRIBUTING, re.S)[1]), {})
    assert convergence.measure("plain_ddim") == convergence.measure("ddim")._replace(name="plain_ddim")

"""scripts/mutants.py on a room of one line: what its test kills, what survives, and what the list calls equivalent."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LISTED = tomllib.loads((ROOT / "tests/mutants/equivalent.toml").read_text(encoding="utf-8")).get("mutant", [])

AREA = '''"""A room."""


def area(w: int | float, *, name=f"{1 + 1}"):
    return w * w
'''
TEST = """from minidiff.tiny.area import area


def test_area():
    assert area(2) == 4
"""
DRIVER = """import sys, pathlib, mutants
mutants.ROOT = pathlib.Path(sys.argv[1])
mutants.EQUIVALENT = mutants.ROOT / "equivalent.toml"
mutants.ROOMS = {"tiny": ["tests/tiny"]}
sys.exit(mutants.main(["--sample", "0", *sys.argv[2:]]))
"""


@pytest.fixture
def room(tmp_path):
    """room(*arguments) -> (exit code, output) of the script on a tree with this one room."""
    pytest.importorskip("cosmic_ray")
    pytest.importorskip("coverage")
    files = {"minidiff/__init__.py": "", "minidiff/tiny/__init__.py": "", "minidiff/tiny/area.py": AREA,
             "tests/tiny/test_area.py": TEST, "pyproject.toml": "", "driver.py": DRIVER}  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(*arguments):
        command = [sys.executable, "driver.py", str(tmp_path), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return run


def test_killed_survived_and_equivalent(room, tmp_path):
    code, out = room()
    assert code == 1
    survived = [line.strip() for line in out.splitlines() if line.startswith("  + ")]
    assert survived == ["+ return w ** w", "+ return w + w"] or survived == ["+ return w + w", "+ return w ** w"]
    assert "tiny: 6 of 6 mutants run, 4 killed (0 by the time limit), 2 survived, 0 of them listed as equivalent" in out
    assert "killed by tests/tiny/test_area.py::test_area" in out
    assert (tmp_path / "minidiff/tiny/area.py").read_text() == AREA  # the checkout is left alone
    row = '[[mutant]]\nfile = "minidiff/tiny/area.py"\nold = "return w * w"\nnew = "{}"\nwhy = "of no matter here"\n'
    (tmp_path / "equivalent.toml").write_text("".join(row.format(new[2:]) for new in survived))
    code, again = room("--list")
    assert code == 0 and again.count("equivalent: of no matter here") == 2


@pytest.mark.parametrize("row", LISTED, ids=lambda row: row["new"])
def test_a_listed_mutant_still_is_one(row):
    """Its line is in the file, and there is a reason."""
    lines = [line.strip() for line in (ROOT / row["file"]).read_text(encoding="utf-8").splitlines()]
    assert set(row["old"].splitlines()) <= set(lines), "this line has changed: look at the mutant again"
    assert row["new"] != row["old"] and len(row["why"]) > 20 and row.keys() == {"file", "old", "new", "why"}


def test_the_rooms_are_there():
    """Each test path in the table of scripts/mutants.py exists."""
    tree = ast.parse((ROOT / "scripts/mutants.py").read_text(encoding="utf-8"))
    (table,) = [ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "ROOMS"]
    for room, tests in table.items():
        assert (ROOT / "minidiff" / room).is_dir() and all((ROOT / test).exists() for test in tests)

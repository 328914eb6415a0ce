"""Every chapter: the source and the notebook beside it agree, nothing broken is stored, and the code runs."""

import json
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import run_chapter

ROOT = Path(__file__).parent.parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
RUNNER = Path(__file__).parent / "run_chapter.py"
SECONDS = 20  # of one core's work, for a chapter in fast mode


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


def notebook_of(chapter):
    return json.loads(chapter.with_suffix(".ipynb").read_text(encoding="utf-8"))


def test_there_are_chapters_and_no_notebook_without_a_source():
    assert CHAPTERS
    assert [path.with_suffix(".py") for path in sorted((ROOT / "notebooks").glob("*.ipynb"))] == CHAPTERS


def test_source_and_notebook_hold_the_same_cells(chapter):
    stored = [(cell["cell_type"], "".join(cell["source"]).strip("\n")) for cell in notebook_of(chapter)["cells"]]
    written = run_chapter.cells(chapter.read_text(encoding="utf-8"))
    assert stored == written, f"run:  python scripts/build_notebooks.py {chapter.stem}"


def test_the_command_that_installs_runs_as_it_is_and_its_address_has_one_place(chapter):
    address = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    first = "".join(notebook_of(chapter)["cells"][0]["source"])
    assert f"`!git clone {address} minidiff && pip install -q ./minidiff`" in first
    assert address not in chapter.read_text(encoding="utf-8")


def test_notebook_was_executed_from_top_to_bottom(chapter):
    counts = [cell["execution_count"] for cell in notebook_of(chapter)["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_notebook_is_small_and_stores_no_error_and_no_widget(chapter):
    assert chapter.with_suffix(".ipynb").stat().st_size <= 1_000_000
    notebook = notebook_of(chapter)
    assert "widgets" not in notebook["metadata"]
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            assert output["output_type"] != "error"
            assert output.get("name") != "stderr", "".join(output["text"])[:300]
            assert not [kind for kind in output.get("data", {}) if "widget" in kind]


def test_notebook_has_pictures_and_asserts_and_exercises(chapter):
    notebook = notebook_of(chapter)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    pictures = [1 for cell in code for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    assert sum("assert" in "".join(cell["source"]) for cell in code) >= 5
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert 3 <= text.count("**Exercise ") <= 6
    assert text.count("Hint:") >= text.count("**Exercise ")


def test_chapter_runs_in_fast_mode_and_its_exercises_can_be_solved(chapter, tmp_path):
    """In a process and a folder of its own, the reader's part done by notebooks/exercises/NN.py.

    CPU time is what is held to the limit: the machine may be busy with other tests.
    """
    path = os.pathsep.join(map(str, (ROOT, ROOT / "scripts")))
    environment = {**os.environ, "MINIDIFF_FAST": "1", "MPLBACKEND": "agg", "TQDM_DISABLE": "1", "PYTHONPATH": path}
    solutions = chapter.parent / "exercises" / f"{chapter.stem[:2]}.py"
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(chapter), str(solutions)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    after, wall = os.times(), time.perf_counter() - start
    assert done.returncode == 0, done.stderr[-3000:]
    exercises = chapter.read_text(encoding="utf-8").count("**Exercise ")
    assert [f"exercise {n}: right" in done.stdout for n in range(1, exercises + 1)] == [True] * exercises
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert (used or wall) < SECONDS  # some systems do not count the time of children

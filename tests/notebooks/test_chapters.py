"""Every chapter: the source and the notebook beside it agree, and nothing broken is stored. test_twice runs them."""

import json
import re
import tomllib
from pathlib import Path

import course
import pytest
from course import cells

ROOT = Path(__file__).parent.parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return request.param


def notebook_of(chapter):
    return json.loads(chapter.with_suffix(".ipynb").read_text(encoding="utf-8"))


def written_text(chapter):
    return "\n\n".join(text for kind, text in cells(chapter.read_text(encoding="utf-8")) if kind == "markdown")


def test_there_are_chapters_and_no_notebook_without_a_source():
    assert CHAPTERS
    assert [path.with_suffix(".py") for path in sorted((ROOT / "notebooks").glob("*.ipynb"))] == CHAPTERS


def test_source_and_notebook_hold_the_same_cells(chapter):
    stored = [(cell["cell_type"], "".join(cell["source"]).strip("\n")) for cell in notebook_of(chapter)["cells"]]
    written = cells(chapter.read_text(encoding="utf-8"))
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
    assert 3 <= text.count("**Exercise ") <= 9


def test_every_exercise_has_a_hint_and_a_bigger_one(chapter):
    texts = re.split(r"^\*\*Exercise ", written_text(chapter), flags=re.MULTILINE)[1:]
    assert len(texts) == len(course.chapter(chapter.stem[:2]).exercises)
    for text in texts:
        hints = [text.count(f"<summary>{size}</summary>") for size in ("Hint", "Bigger hint")]
        assert hints == [1, 1], f"exercise {text[:2]} has {hints}"
        assert "Hint:" not in text, f"exercise {text[:2]} has a hint that is not folded"


def test_chapters_1_to_13_17_and_18_have_the_real_thing_to_build(chapter):
    read = course.chapter(chapter.stem[:2])
    heads = [k for k, (kind, text, _) in enumerate(read.cells) if kind == "markdown" and "### Build it: " in text]
    assert len(heads) == (int(read.number) in (*range(1, 14), 17, 18))
    if heads:
        points = [len(exercise.points) for _, _, exercise in read.cells[heads[0] :] if exercise]
        assert len(points) in (2, 3) and 4 <= sum(points) <= 6, f"its exercises have {points} points"


def test_a_chapter_ends_with_a_link_to_its_answers(chapter):
    number = chapter.stem[:2]
    kind, text = cells(chapter.read_text(encoding="utf-8"))[-1]
    assert kind == "markdown" and f"[docs/answers/{number}.py](../docs/answers/{number}.py)" in text

"""Grading without notebooks, as docs/teachers.md says: pytest with a marker, and scripts/grade.py for a class."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import course
import grade
import pytest

ROOT = Path(__file__).parent.parent.parent
STYLES = tomllib.loads((Path(__file__).parent / "styles.toml").read_text(encoding="utf-8"))["style"]


def run(*command, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)


def test_a_file_is_graded_from_the_command_line(tmp_path):
    chapter = course.chapter("01")
    wrong = chapter.exercises["tanh"].answer.replace("1 - y * y", "1 - x * x")
    file = tmp_path / "alice.py"
    file.write_text("import numpy as np\n\n\n" + wrong + "\n\n\n" + chapter.exercises["softmax"].answer, encoding="utf-8")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "ch01", "--answers", str(file), "tests/assignments")
    others = sum(len(e.points) for name, e in chapter.exercises.items() if name not in ("tanh", "softmax"))
    assert f"{2 + others} failed, {chapter.points - 2 - others} passed" in done.stdout, done.stdout[-2000:]
    assert "with y = tanh(x), not 1 - x^2" in done.stdout


def notebook(path, texts, **metadata):
    cells = [{"cell_type": "code", "source": text.splitlines(keepends=True), "metadata": metadata} for text in texts]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_a_class_is_graded_into_a_table(tmp_path):
    """The chapter's notebook with the answers, one with the stubs, one with a helper and magics, one that cannot be read."""
    chapter = course.chapter("01")
    notebooks = {
        "right": [text.replace(exercise.stub, exercise.answer) if exercise else text for _, text, exercise in chapter.cells],
        "stubs": [text for _, text, _ in chapter.cells],
        "helper": [
            "%matplotlib inline\nimport numpy as np",
            "def slope_of_tanh(y):\n    return 1 - y * y",
            "two = 2\n\n\ndef tanh(x):\n    y = np.tanh(x)\n    return y, lambda dy: dy * slope_of_tanh(y) * two / 2",
            "def softmax(x):\n    return y, back)",
            "def linear(x, w, b):\n    raise SystemExit('the tests have the chapter's own')",
        ],
    }
    for name, texts in notebooks.items():
        notebook(tmp_path / f"{name}.ipynb", texts)
    (tmp_path / "broken.ipynb").write_text("not a notebook", encoding="utf-8")
    files = [f"{name}.ipynb" for name in ("right", "stubs", "helper", "broken")]
    done = run(str(ROOT / "scripts" / "grade.py"), "01", *files, "--csv", "grades.csv", cwd=tmp_path)
    tanh = len(chapter.exercises["tanh"].points)
    assert f"right.ipynb: {chapter.points} of {chapter.points} points" in done.stdout, done.stdout + done.stderr
    assert f"stubs.ipynb: 0 of {chapter.points} points" in done.stdout
    assert f"helper.ipynb: {tanh} of {chapter.points} points" in done.stdout
    assert "SyntaxError: unmatched ')'" in done.stdout and "broken.ipynb: cannot be read" in done.stdout
    rows = (tmp_path / "grades.csv").read_text().splitlines()
    assert rows[0] == "student,file,chapter,exercise,points,of" and len(rows) == 1 + len(files) * len(chapter.exercises)
    assert f"helper,helper.ipynb,01,tanh,{tanh},{tanh}" in rows and f"broken,broken.ipynb,01,tanh,0,{tanh}" in rows


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("submitted/ada/ch03/03_adding_noise.ipynb", "ada"),
        ("archive/ada_03_adding_noise.ipynb", "ada"),
        ("hand_ins/ada/03_adding_noise.ipynb", "ada"),
        ("hand_ins/ada.ipynb", "ada"),
    ],
)
def test_the_table_names_the_student(path, name):
    assert grade.student(path, course.chapter("03")) == name


def test_everything_that_a_notebook_accepts_is_accepted(tmp_path):
    """As in the notebook, where all of the chapter's cells stand too, and one of them was changed."""
    chapter = course.chapter("03")
    with grade.Grader(chapter) as grader:
        for name, texts in ((style["name"], style["cells"]) for style in STYLES):
            whole = []
            for _, text, exercise in (cell for cell in chapter.cells if cell[0] == "code"):
                whole += texts if exercise and exercise.name == "jump" else [text]
            long = max(range(len(whole)), key=lambda i: whole[i] in [c[1] for c in chapter.cells] and len(whole[i]))
            whole[long] += "\nraise ValueError('the chapter has its own')"
            notebook(tmp_path / "jump.ipynb", whole)
            mine = grade.written(chapter, tmp_path / "jump.ipynb")
            assert len(mine) == len(texts), (name, mine)
            found = grader.exercise("jump", mine)
            assert not any(found.values()), (name, found)


def test_locked_cells_are_not_the_students(tmp_path):
    notebook(tmp_path / "locked.ipynb", ["tanh = print"], nbgrader={"locked": True, "grade_id": "tanh-visible"})
    assert grade.written(course.chapter("01"), tmp_path / "locked.ipynb") == []


def test_tests_ignore_what_a_submission_does_to_the_chapter():
    chapter = course.chapter("01")
    cheat = "import minidiff.gradcheck\nminidiff.gradcheck.check = gradcheck.check = print\n\n\n"
    cheat += "def tanh(x):\n    return x, lambda dy: 2 * dy"
    (found,) = grade.grade(chapter, [("tanh", cheat)])
    assert all(found.values())

"""Grading without notebooks, as docs/teachers.md says: pytest with a marker, and scripts/grade.py for a class."""

import json
import os
import subprocess
import sys
from pathlib import Path

import course
import grade

ROOT = Path(__file__).parent.parent.parent


def run(*command, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)


def test_a_marker_grades_a_file(tmp_path):
    chapter = course.chapter("01")
    wrong = chapter.exercises["tanh"].answer.replace("1 - y * y", "1 - x * x")
    file = tmp_path / "alice.py"
    file.write_text("import numpy as np\n\n\n" + wrong + "\n\n\n" + chapter.exercises["softmax"].answer, encoding="utf-8")
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "ch01", "--answers", str(file), "tests/assignments")
    others = sum(len(chapter.exercises[name].points) for name in ("squared_matrix", "gated"))
    assert f"{2 + others} failed, {chapter.points - 2 - others} passed" in done.stdout, done.stdout[-2000:]
    assert "with y = tanh(x), not 1 - x^2" in done.stdout


def test_a_class_is_graded_into_a_table(tmp_path):
    """A notebook with the chapter's own cells, one with a helper and magics, one that cannot be read."""
    chapter = course.chapter("01")
    notebooks = {
        "right": [text.replace(exercise.stub, exercise.answer) if exercise else text for _, text, exercise in chapter.cells],
        "stubs": [text for _, text, _ in chapter.cells],
        "helper": [
            "%matplotlib inline\nimport numpy as np",
            "def slope_of_tanh(y):\n    return 1 - y * y",
            "two = 2\n\n\ndef tanh(x):\n    y = np.tanh(x)\n    return y, lambda dy: dy * slope_of_tanh(y) * two / 2",
            "def softmax(x):\n    return y, back)",
            "def linear(x, w, b):\n    raise SystemExit('the chapter has its own')",
        ],
    }
    for name, texts in notebooks.items():
        cells = [{"cell_type": "code", "source": text.splitlines(keepends=True)} for text in texts]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    (tmp_path / "broken.ipynb").write_text("not a notebook", encoding="utf-8")
    files = [f"{name}.ipynb" for name in ("right", "stubs", "helper", "broken")]
    done = run(str(ROOT / "scripts" / "grade.py"), "01", *files, "--csv", "grades.csv", cwd=tmp_path)
    tanh = len(chapter.exercises["tanh"].points)
    assert f"right.ipynb: {chapter.points} of {chapter.points} points" in done.stdout, done.stdout + done.stderr
    assert f"stubs.ipynb: 0 of {chapter.points} points" in done.stdout
    assert f"helper.ipynb: {tanh} of {chapter.points} points" in done.stdout
    assert "SyntaxError: unmatched ')'" in done.stdout and "broken.ipynb: cannot be read" in done.stdout
    rows = (tmp_path / "grades.csv").read_text().splitlines()
    assert rows[0] == "file,chapter,exercise,points,of" and f"helper,01,tanh,{tanh},{tanh}" in rows and len(rows) == 13


def test_what_a_file_does_to_the_chapter_is_not_taken(tmp_path):
    chapter = course.chapter("01")
    file = tmp_path / "cheat.py"
    file.write_text("import minidiff\n\n\ndef silu(x):\n    return 0\n\n\ndef tanh(x):\n    return 1, 2\n", encoding="utf-8")
    found = grade.answers(chapter, file)
    assert "def silu" not in found["tanh"] and "def tanh" in found["tanh"] and found["gated"] == ""

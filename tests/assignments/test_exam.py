"""The bug hunt: papers differ, every bug is found by what a student has, and mended functions earn their points."""

import csv
import json
import random
from collections import Counter

import exam
import exam_functions
import pytest


@pytest.mark.parametrize("make", exam_functions.MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
@pytest.mark.parametrize("seed", range(2))
def test_the_right_function_passes_and_every_bug_is_found(make, seed):
    draw = random.Random(seed)
    made = make(draw)
    assert len(made.bugs) >= 3
    for bug in made.bugs:
        exam.Question(made, bug, draw).verify()


def test_a_paper_has_three_easy_two_medium_and_one_hard_bug_in_six_functions():
    for student in "abcdefghij":
        questions = exam.paper("secret", student)
        assert Counter(question.bug.level for question in questions) == {"easy": 3, "medium": 2, "hard": 1}
        assert len({question.name for question in questions}) == 6 and questions[-1].bug.level == "hard"


def test_an_exam_depends_only_on_seed_and_student():
    def text(seed, student):
        return json.dumps(exam.notebook("somebody", exam.paper(seed, student)))

    papers = {text(seed, student) for seed in ("7", "8") for student in ("ada", "bob", "cy")}
    assert len(papers) == 6 and text("7", "ada") == text(7, "ada")


def test_a_class_is_graded(tmp_path, capsys):
    """One hands the paper in as it is, one mends all of it, one mends two functions, one calls the library."""
    for student in ("asis", "all", "two", "library"):
        exam.main(["paper", "--seed", "secret", student, "--out", str(tmp_path)])
        path = tmp_path / f"{student}.ipynb"
        made, mended = json.loads(path.read_text()), {"asis": 0, "all": 6, "two": 2, "library": 0}[student]
        questions = exam.paper("secret", student)
        for question in questions[:mended]:
            cell = next(c for c in made["cells"] if f"def {question.name}(" in "".join(c["source"]))
            cell["source"] = [question.right]
        if student == "library":
            made["cells"].append({"cell_type": "code", "source": [f"from minidiff import ops\n{questions[0].name} = ops.silu"]})
        path.write_text(json.dumps(made))
    files = [str(path) for path in sorted(tmp_path.glob("*.ipynb"))]
    exam.main(["grade", "--seed", "secret", *files, "--csv", str(tmp_path / "grades.csv")])
    with (tmp_path / "grades.csv").open() as file:
        points = Counter()
        for row in csv.DictReader(file):
            points[row["student"]] += int(row["points"])
    assert points == {"asis": 0, "all": 6, "two": 2, "library": 0}


def test_the_key_names_the_bugs(capsys):
    exam.main(["key", "--seed", "secret", "ada"])
    shown = capsys.readouterr().out
    assert all(question.bug.what in shown for question in exam.paper("secret", "ada"))


@pytest.mark.parametrize("student", ["../ada", "a b", ""])
def test_a_student_name_that_is_not_a_file_name_is_rejected(student, tmp_path, capsys):
    with pytest.raises(SystemExit):
        exam.main(["paper", "--seed", "secret", student, "--out", str(tmp_path)])
    assert "STUDENT: got" in capsys.readouterr().err and not list(tmp_path.iterdir())

"""nbgrader itself, from end to end as docs/teachers.md walks through it: release, hand in, autograde, feedback, grade book."""

import copy
import csv
import html
import importlib.util
import re
from pathlib import Path

import course
import pytest
from nbgrader_commands import Nbgrader

ROOT = Path(__file__).parent.parent.parent
NAME, NOTEBOOK = "ch01", "01_backward_by_hand.ipynb"
CHAPTER = course.chapter("01")
installed = importlib.util.find_spec("nbgrader") is not None  # importing it takes seconds, which every collection would pay
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not installed, reason="needs the extra `course`")]


def read(path):
    import nbformat

    return nbformat.read(path, as_version=4)


def fill(notebook, name, answer):
    """Write an answer into its cell, as a student does."""
    cell = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)
    cell.source = answer


def right(notebook):
    for name, exercise in CHAPTER.exercises.items():
        fill(notebook, name, exercise.answer)


def stub(notebook):
    pass


def mistake(notebook):
    right(notebook)
    fill(notebook, "softmax", CHAPTER.exercises["softmax"].answer.replace("(dy * y).sum", "dy.mean"))


def slip(notebook):
    """A name that NumPy does not have."""
    right(notebook)
    fill(notebook, "tanh", "def tanh(x):\n    return np.tnh(x), None")


def deleted_tests(notebook):
    mistake(notebook)
    notebook.cells = [
        c for c in notebook.cells if not c.metadata.get("nbgrader", {}).get("grade_id", "").startswith("softmax-")
    ]


def edited_tests(notebook):
    """Tests that always pass, and a checker that never complains, in a cell of the chapter."""
    mistake(notebook)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id", "").startswith("softmax-"):
            cell.source = "print('exercise 2: right')"
            cell.metadata.nbgrader.points = 100
    imports = next(cell for cell in notebook.cells if "from minidiff import gradcheck" in cell.source)
    imports.source += "\ngradcheck.check = lambda *arrays: None"


def deleted_answer(notebook):
    """The cell of an answer and its tests are gone: nbgrader cannot tell where they were, and says so."""
    right(notebook)
    notebook.cells = [c for c in notebook.cells if not c.metadata.get("nbgrader", {}).get("grade_id", "").startswith("softmax")]


def endless(notebook):
    """It sleeps, so that the other tests keep their core; the chapter's own cells must not be stopped on a busy machine."""
    right(notebook)
    fill(notebook, "squared_matrix", "def squared_matrix(x):\n    import time\n\n    while True:\n        time.sleep(0.1)")


def warns(notebook):
    """Right, but NumPy complains on the way."""
    right(notebook)
    answer = CHAPTER.exercises["tanh"].answer
    fill(notebook, "tanh", answer.replace("y = np.tanh(x)", "np.log(-np.ones(1))\n    y = np.tanh(x)"))


POINTS = {name: len(exercise.points) for name, exercise in CHAPTER.exercises.items()}
ALL = sum(POINTS.values())
SOFTMAX_WRONG = ALL - 2  # the visible test and that of the cross-talk; the forward pass is right
STUDENTS = {  # what each handed in -> points
    right: ALL,
    stub: 0,
    mistake: SOFTMAX_WRONG,
    slip: ALL - POINTS["tanh"],
    deleted_tests: SOFTMAX_WRONG,
    edited_tests: SOFTMAX_WRONG,
    deleted_answer: 0,
    endless: ALL - POINTS["squared_matrix"],
    warns: ALL,
}


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")

    def call(*arguments, fails=None):
        call.made.append(" ".join(["nbgrader", *arguments]))
        code, output = call.command(*arguments)
        assert code == 0 or (fails and fails in output), output[-3000:]

    with Nbgrader(folder, PYTHONPATH=str(ROOT)) as command:
        call.folder, call.made, call.command = folder, [], command
        yield call


@pytest.fixture(scope="module")
def graded(nbgrader):
    """All the students' grades and feedback.   -> ({student: points}, {student: feedback's HTML})"""
    import make_assignment
    import nbformat

    make_assignment.make("01", nbgrader.folder, nbgrader.command)
    release = read(nbgrader.folder / "release" / NAME / NOTEBOOK)
    inbox = nbgrader.folder / "downloaded" / NAME / "archive"
    inbox.mkdir(parents=True)
    for student in STUDENTS:
        notebook = copy.deepcopy(release)
        student(notebook)
        nbformat.write(notebook, inbox / f"{student.__name__}_{NOTEBOOK}")
    settings = nbgrader.folder / "nbgrader_config.py"
    settings.write_text(settings.read_text().replace("c.Execute.timeout = 60", "c.Execute.timeout = 25"))
    nbgrader("zip_collect", NAME)
    nbgrader("autograde", NAME, fails="error processing assignment 'ch01' for student 'deleted_answer'")
    nbgrader("generate_feedback", NAME)
    nbgrader("export", "--to", "grades.csv")
    with (nbgrader.folder / "grades.csv").open() as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    html = {path.parts[-3]: path.read_text() for path in (nbgrader.folder / "feedback").glob(f"*/{NAME}/*.html")}
    return scores, html


def test_the_student_version_has_no_answers_or_hidden_tests(nbgrader, graded):
    """The stub and the tests that are seen; no answer, no hidden test; tests locked, answers not."""
    cells = read(nbgrader.folder / "release" / NAME / NOTEBOOK).cells
    text = "\n".join(cell.source for cell in cells)
    assert "### BEGIN" not in text and "def check_" not in text and "y = np.tanh(x)" not in text
    assert "    # x (..., I)   w (I, O)   b (O,)   -> y (..., O), back" in text  # a stub's comment stays whole
    kinds = {c.metadata.nbgrader.grade_id: c.metadata.nbgrader for c in cells if "nbgrader" in c.metadata}
    for name, exercise in CHAPTER.exercises.items():
        assert (
            kinds[name].solution
            and not kinds[name].locked
            and "..." in next(c.source for c in cells if f"def {name}(" in c.source)
        )
        for point in exercise.points:
            test = kinds[f"{name}-{point.name}"]
            assert test.locked and test.grade and test.points == 1 and not test.solution
    assert all(kind.locked for name, kind in kinds.items() if name not in CHAPTER.exercises)


def test_every_student_gets_the_expected_points(graded, count):
    scores, _ = graded
    assert scores == {student.__name__: points for student, points in STUDENTS.items()}
    count("handed_in", len(scores))


def errors(page):
    """What a student reads below each cell that failed, tags taken away."""
    found = re.findall(r"output_error.*?<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]+>", "", text)).strip() for text in found]


def test_feedback_says_what_is_wrong_in_the_first_line(graded):
    _, pages = graded
    assert sorted(pages) == sorted(student.__name__ for student in STUDENTS if student is not deleted_answer)
    assert "a plain mean of dy" in pages["mistake"] and "a plain mean of dy" in pages["deleted_tests"]
    assert "softmax returns nothing yet" in pages["stub"]
    shown = {student: errors(page) for student, page in pages.items()}
    assert all(text.startswith("WrongAnswer: ") for text in shown["mistake"]) and len(shown["mistake"]) == 2
    missing = [f"WrongAnswer: exercise {e.number}: {name} returns nothing yet" for name, e in CHAPTER.exercises.items()]
    assert [text for text in shown["stub"] if "nothing yet" in text] == missing
    assert shown["slip"][0].startswith("tanh raises AttributeError: module 'numpy' has no attribute 'tnh'\n")
    assert "guarded.py" not in shown["slip"][0] and "return np.tnh(x), None" in shown["slip"][0]
    assert "KeyboardInterrupt" in pages["endless"] or "Timeout" in pages["endless"]


def test_the_teachers_page_lists_the_commands_that_ran(nbgrader, graded):
    """Every command of nbgrader's in docs/teachers.md, as it is written there."""
    page = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"^```\w*\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL))
    written = re.findall(r"^nbgrader .+$", blocks, flags=re.MULTILINE)
    again = "nbgrader autograde ch01 --student ada --force"
    assert {line.replace("ch03", NAME) for line in written} == {*nbgrader.made, again} and len(written) == 5
    nbgrader(*again.replace("ada", "stub").split()[1:])


def test_the_released_solution_runs(nbgrader, graded):
    cells = read(nbgrader.folder / "solution" / NAME / NOTEBOOK).cells
    printed = "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))
    assert not [out for cell in cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert all(f"exercise {exercise.number}: right" in printed for exercise in CHAPTER.exercises.values())

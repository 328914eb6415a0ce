"""Make a chapter an assignment for nbgrader:   python scripts/make_assignment.py CHAPTER ... [--course FOLDER]

FOLDER (build/course) becomes a course of nbgrader's:

    nbgrader_config.py           written once, yours from then on
    source/ch03/NAME.ipynb       for the teacher: answers and hidden tests between nbgrader's markers
    release/ch03/NAME.ipynb      for the students: neither, and the tests are locked
    solution/ch03/NAME.ipynb     for afterwards: with answers, executed
    gradebook.db                 the assignment is entered

Needs the extra `course`. Run again after a chapter or its exercises have changed; grades are kept.
"""

import argparse
import re
import sys
from pathlib import Path

import course
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader_commands import Nbgrader

ROOT = Path(__file__).parent.parent

CONFIG = r'''"""nbgrader's settings for this course. Written once by scripts/make_assignment.py; change what you like."""

import os

c = get_config()  # noqa: F821 - nbgrader's
c.CourseDirectory.course_id = "diffusion"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.ClearSolutions.code_stub = {"python": "..."}
c.OverwriteCells.add_missing_cells = True  # a test that was deleted comes back before grading
c.Execute.timeout = 60  # seconds for one cell: an endless loop costs its points and no more
c.Execute.interrupt_on_timeout = True
# how `nbgrader zip_collect` reads a file's name: STUDENT_03_adding_noise.ipynb
c.FileNameCollectorPlugin.named_regexp = r"(?:.*/)?(?P<student_id>[^/]+)_(?P<file_id>\d\d_[a-z_0-9]+)"

os.environ.setdefault("MINIDIFF_FAST", "1")  # what is executed here runs the chapter small, in seconds
os.environ.setdefault("PYTHONWARNINGS", "ignore")  # nbgrader gives no point where anything was written to stderr
os.environ.setdefault("TQDM_DISABLE", "1")
'''


def notebook(chapter):
    """The teacher's notebook of a chapter.   -> nbformat notebook"""
    cells = []
    for number, (kind, text, exercise) in enumerate(chapter.cells):
        if kind == "markdown":
            cells.append(new_markdown_cell(text))
        elif exercise is None:
            cells.append(_graded(new_code_cell(text), f"chapter-{number}", locked=True))
        else:
            cells.append(_graded(new_code_cell(_answer(exercise)), exercise.name, solution=True))
            cells += [_test(exercise, point) for point in exercise.points]
    cells.insert(1, new_markdown_cell(_note(chapter)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _graded(cell, grade_id, locked=False, solution=False, points=None):
    cell.metadata["nbgrader"] = {
        "grade_id": grade_id, "locked": locked, "solution": solution, "grade": points is not None, "task": False,
        "schema_version": 3,
    }  # fmt: skip
    if points is not None:
        cell.metadata["nbgrader"]["points"] = points
    return cell


def _answer(exercise):
    """The stub's `def` and comment, and between markers the body of the answer."""
    header, body = course.header_and_body(exercise.answer)
    comment = re.search(r"^ +\.\.\. +(#.*)$", exercise.stub, re.MULTILINE)
    if comment:
        header += f"\n    {comment[1]}"
    return f"{header}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"


def _test(exercise, point):
    guard = _guard(exercise)
    if point.name == course.VISIBLE:
        text = f"# {exercise.name}, 1 point: the tests that you see\n{guard}\n{point.code}"
    else:
        text = f"# {exercise.name}, 1 point, by a test that you do not see: {point.about}\n"
        text += f"### BEGIN HIDDEN TESTS\n{guard}\n{point.code}\n### END HIDDEN TESTS"
    return _graded(new_code_cell(text), f"{exercise.name}-{point.name}", locked=True, points=1)


def _guard(exercise):
    without = f", without={list(exercise.without)}" if exercise.without else ""
    comment = "  # it reads its arguments, and does without what would answer for it"
    return f"from minidiff import grading\n\n{exercise.name} = grading.guarded({exercise.name}{without}){comment}"


def _note(chapter):
    lines = "\n".join(f"| {e.number} | `{e.name}` | {len(e.points)} |" for e in chapter.exercises.values())
    return (
        f"**This is an assignment, of {chapter.points} points.** Run the chapter, then fill in the functions under "
        "*Exercises*, at the end. You may add cells and functions of your own anywhere; the cells that are locked are put "
        "back before grading. Below each answer stand tests that you see, and the names of tests that you do not see.\n\n"
        f"| exercise | function | points |\n|---|---|---|\n{lines}"
    )


def make(number, folder, nbgrader):
    """Write one chapter's notebooks into a course, and enter it into the grade book.   nbgrader: Nbgrader   -> Chapter"""
    chapter, name = course.chapter(number), f"ch{number}"
    if not (folder / "nbgrader_config.py").exists():
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    source = folder / "source" / name / f"{chapter.path.stem}.ipynb"
    source.parent.mkdir(parents=True, exist_ok=True)
    made = notebook(chapter)
    nbformat.validate(made)
    source.write_text(nbformat.writes(made) + "\n", encoding="utf-8")
    for command in ("generate_assignment", "generate_solution"):
        code, output = nbgrader(command, name, "--force")
        if code:
            sys.exit(f"nbgrader {command} {name} failed:\n{output[-3000:]}")
    return chapter


def main(arguments):
    parser = argparse.ArgumentParser(prog="make_assignment.py", description=__doc__.split(":   ")[0])
    parser.add_argument("chapters", nargs="*", choices=[*course.numbers(), []], metavar="CHAPTER", help="03; none: all")
    parser.add_argument("--course", type=Path, default=ROOT / "build" / "course", help="default: build/course")
    given = parser.parse_args(arguments)
    given.course.mkdir(parents=True, exist_ok=True)
    with Nbgrader(given.course) as nbgrader:
        for number in given.chapters or course.numbers():
            chapter = make(number, given.course.resolve(), nbgrader)
            count = f"{len(chapter.exercises)} exercises, {chapter.points} points"
            print(f"ch{number}: {count}   {given.course}/release/ch{number}/{chapter.path.stem}.ipynb", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What a chapter asks of its readers: its exercises, their visible tests, their answers, their hidden tests.

A chapter's source, notebooks/NN_name.py, has each exercise's text, its stub (a function with the body `...`) and the visible
tests below it. docs/answers/NN.py has the rest: a function of the stub's name, which is the answer, and after it
functions `check_...`, its hidden tests. The visible tests are one point, and each hidden test is one. `WITHOUT` lists by
exercise what an answer may not call, because it does the exercise's work.

Nothing but the standard library is needed here: scripts/make_assignment.py, scripts/grade.py and the tests all read with it.
"""

import ast
import difflib
from dataclasses import dataclass, field
from pathlib import Path

from minidiff.chapters import cells

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS, ANSWERS = ROOT / "notebooks", ROOT / "docs" / "answers"
VISIBLE = "visible"


@dataclass
class Point:
    """What one point is given for. name: "visible" or that of the hidden test; about: one line; code: what is run"""

    name: str
    about: str
    code: str


@dataclass
class Exercise:
    number: int
    name: str  # of the function that the reader writes
    stub: str
    rest: str  # of the stub's cell: what a reader of the chapter sees below it
    points: list[Point]
    answer: str = ""
    without: tuple = ()  # what the answer may not call, as `minidiff.guarded.taken_away` takes it


@dataclass
class Chapter:
    number: str  # "03"
    path: Path
    cells: list  # (kind, text, Exercise or None), kind "markdown" or "code"
    exercises: dict = field(default_factory=dict)  # name -> Exercise

    @property
    def points(self):
        return sum(len(exercise.points) for exercise in self.exercises.values())


def is_left_to_the_reader(node):
    """A function without a body."""
    if not isinstance(node, ast.FunctionDef):
        return False
    body = [line for line in node.body if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)]
    return len(body) == len(node.body) and body[-1].value.value is ...


def numbers():
    """The chapters with exercises: ["01", "02", ...]"""
    found = sorted(path.stem for path in ANSWERS.glob("[0-9][0-9].py"))
    return [number for number in found if any(NOTEBOOKS.glob(f"{number}_*.py"))]


def chapter(number):
    """Read a chapter and its exercises.   number "03"   -> Chapter"""
    found = sorted(NOTEBOOKS.glob(f"{number}_*.py"))
    if len(found) != 1 or number not in numbers():
        raise ValueError(f"no chapter {number!r} with exercises; there are {', '.join(numbers())}")
    made = Chapter(number, found[0], [])
    for kind, text in cells(found[0].read_text(encoding="utf-8")):
        exercise = _exercise(text, len(made.exercises) + 1) if kind == "code" else None
        made.cells.append((kind, text, exercise))
        if exercise:
            made.exercises[exercise.name] = exercise
    _add_answers(made, ANSWERS / f"{number}.py")
    return made


def header_and_body(source):
    """A function's source in two: `def` with the comments below it, and the rest."""
    node, lines = ast.parse(source).body[0], source.splitlines()
    first = node.body[0].lineno - 1
    return "\n".join(lines[:first]), "\n".join(lines[first:])


def _exercise(text, number):
    """The exercise of a code cell, None where it has none."""
    tree, lines = ast.parse(text), text.splitlines()
    stubs = [node for node in tree.body if is_left_to_the_reader(node)]
    if not stubs:
        return None
    if len(stubs) > 1:
        raise ValueError(f"exercise {number} leaves {len(stubs)} functions to the reader, expected one")
    stub = stubs[0]
    rest = lines[: stub.lineno - 1] + lines[stub.end_lineno :]
    graded = list(lines)
    for node in tree.body:  # `if f(x) is not None:` runs the tests when there is an answer; graded, there has to be one
        if isinstance(node, ast.If) and not node.orelse:
            words = f'raise WrongAnswer("exercise {number}: {stub.name} returns nothing yet")'
            start = node.body[0].lineno - 1
            asked = f"if not ({ast.unparse(node.test)}):\n    from minidiff.grading import WrongAnswer\n\n    {words}"
            graded[node.lineno - 1 : start] = [asked] + [None] * (start - node.lineno)
            for i in range(start, node.end_lineno):
                graded[i] = graded[i].removeprefix("    ")
    graded[stub.lineno - 1 : stub.end_lineno] = [None] * (stub.end_lineno - stub.lineno + 1)
    code = "\n".join(line for line in graded if line is not None).strip("\n")
    visible = Point(VISIBLE, "the tests that you see", code)
    source = "\n".join(lines[stub.lineno - 1 : stub.end_lineno])
    return Exercise(number, stub.name, source, "\n".join(rest).strip("\n"), [visible])


def _add_answers(made, path):
    """The answers and hidden tests of docs/answers/NN.py: a function check_... belongs to the answer before it."""
    text = path.read_text(encoding="utf-8")
    nodes, lines, imports, last = ast.parse(text).body, text.splitlines(), [], None
    for node in nodes:
        source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.append(source)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WITHOUT":
            for name, listed in ast.literal_eval(node.value).items():
                made.exercises[name].without = tuple(listed)
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("check_"):
            if last is None:
                raise ValueError(f"{path.name}: {node.name} stands before any answer")
            code = "\n".join([*imports, "", "", source, "", "", f"{node.name}()"])
            about = (ast.get_docstring(node) or node.name).splitlines()[0]
            last.points.append(Point(node.name.removeprefix("check_"), about, code))
        elif isinstance(node, ast.FunctionDef):
            if node.name not in made.exercises:
                near = difflib.get_close_matches(node.name, made.exercises)
                raise ValueError(
                    f"{path.name}: {made.path.name} leaves no {node.name} to the reader; {near or [*made.exercises]}"
                )
            last = made.exercises[node.name]
            last.answer = source
    unanswered = [exercise.name for exercise in made.exercises.values() if not exercise.answer]
    if unanswered:
        raise ValueError(f"{path.name} has no answer for {', '.join(unanswered)}")

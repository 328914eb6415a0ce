"""A bug hunt as an examination: one paper for each student, whose bugs are drawn by a secret seed.

    python scripts/exam.py paper --seed SECRET ada bob         papers into build/exam/ada.ipynb, bob.ipynb
    python scripts/exam.py key --seed SECRET ada               which bugs they are
    python scripts/exam.py grade --seed SECRET build/handed_in/*.ipynb --csv grades.csv

A paper has six functions with one bug each: three easy, two medium, one hard. The student finds them with `gradcheck` and
with the values that the paper gives, and mends them. A keyed hash of seed and student draws functions, constants, names and
bugs, so neither the papers nor their answers are in the repository. Each paper is checked before it is written: the right
functions pass, and every bug is found by what the student has.
"""

import argparse
import ast
import hashlib
import hmac
import json
import random
import re
import sys
from pathlib import Path

import course
import exam_functions
import grade
import numpy as np
from exam_functions import EASY, HARD, MEDIUM

from minidiff import chapters, gradcheck
from minidiff.files import write_whole
from minidiff.guarded import WrongAnswer

LEVELS = [HARD, MEDIUM, MEDIUM, EASY, EASY, EASY]
IMPORTS = "import numpy as np\n\nfrom minidiff import gradcheck, grading"
SIZES = (2, 3, 5)
LOCALS = "a b c f g h m n o p q r s u v z acc bar cut flat inner kept left mid net out part res side tmp top".split()


class Question:
    """One function of a paper: right and with its bug, and the code of its checks."""

    def __init__(self, made, bug, draw):
        self.name, self.text, self.bug, self.made = made.name, made.text, bug, made
        if made.source.count(bug.old) != 1:
            raise ValueError(f"{made.name}: {bug.old!r} stands {made.source.count(bug.old)} times in its source")
        names = dict(zip(_locals(made.source), draw.sample(LOCALS, len(LOCALS)), strict=False))
        self.right, self.wrong = (_renamed(text, names) for text in (made.source, made.source.replace(bug.old, bug.new)))
        self.seed = draw.randrange(10**6)

    def call(self, name):
        return f"{name}(*arrays)" + ("[0]" if self.made.check == "gradients" else "")

    def visible(self):
        """The checks that the student has: values for one set of arguments, and the gradients."""
        space = _run(IMPORTS + "\n" + self.right)
        exec(self.setting(2, self.seed), space)
        values = np.round(eval(self.call(self.name), space), 9)
        lines = [self.setting(2, self.seed), f"expected = np.array({values.tolist()})"]
        lines.append(f'grading.same({self.call(self.name)}, expected, "{self.name}", rtol=1e-7, atol=1e-8)')
        if self.made.check == "gradients":
            lines.append(f"gradcheck.check({self.name}, *arrays)")
        return "\n".join([*lines, f'print("{self.name}: right")'])

    def setting(self, n, seed):
        return f"n, rng = {n}, np.random.default_rng({seed})\narrays = {self.made.arrays}"

    def hidden(self):
        """The check that earns the point: other sizes, other numbers."""
        lines = [re.sub(rf"\bdef {self.name}\(", f"def right_{self.name}(", self.right, count=1)]
        for n in SIZES:
            lines.append(self.setting(n, self.seed + n))
            lines.append(f'grading.same({self.call(self.name)}, {self.call("right_" + self.name)}, "{self.name}", atol=1e-12)')
            if self.made.check == "gradients":
                lines.append(f"gradcheck.check({self.name}, *arrays)")
        return "\n".join(lines)

    def verify(self):
        """Raise RuntimeError unless the right function passes and the wrong one fails, with the student's own checks."""
        for source, code, passes in (
            (self.right, self.visible(), True), (self.right, self.hidden(), True),
            (self.wrong, self.visible(), False), (self.wrong, self.hidden(), False),
        ):  # fmt: skip
            try:
                with np.errstate(all="ignore"):
                    _run("\n".join([IMPORTS, source, code.replace("print(", "str(")]))
                passed = True
            except (WrongAnswer, gradcheck.GradientError):
                passed = False
            if passed != passes:
                raise RuntimeError(
                    f"{self.name}, {self.bug.what}: {'not found' if passed else 'the right one fails'}\n{source}"
                )


def _run(text):
    space = {}
    exec(text, space)
    return space


def _locals(source):
    """The names that a function assigns, in their order. Arguments are left out: the formula names them."""
    tree = ast.parse(source)
    arguments = {a.arg for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for a in node.args.args}
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return [name for name in dict.fromkeys(stored) if name not in arguments]


def _renamed(source, names):
    taken = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)} - set(names)
    taken |= {a.arg for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef) for a in node.args.args}
    chosen = {old: new if new not in taken else f"{new}_" for old, new in names.items()}

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node):
            node.id = chosen.get(node.id, node.id)
            return node

    return ast.unparse(Rename().visit(ast.parse(source)))


def paper(seed, student):
    """The six questions of a student, easy ones first.   seed: the teacher's secret   -> [Question]"""
    key = hmac.new(str(seed).encode(), student.encode(), hashlib.sha256).digest()
    draw = random.Random(int.from_bytes(key, "big"))
    functions = [make(draw) for make in exam_functions.MAKERS]
    draw.shuffle(functions)
    questions = []
    for level in LEVELS:
        made = next(made for made in functions if any(bug.level == level for bug in made.bugs))
        functions.remove(made)
        questions.append(Question(made, draw.choice([bug for bug in made.bugs if bug.level == level]), draw))
    return questions[::-1]


def notebook(student, questions):
    """The paper as a notebook.   -> dict, of nbformat 4.5"""
    cells = [("markdown", _title(student, questions)), ("code", IMPORTS)]
    for number, question in enumerate(questions, 1):
        cells.append(("markdown", f"## {number}. `{question.name}`\n\n{question.text}."))
        cells.append(("code", f"{question.wrong}\n\n\n{question.visible()}"))
    return chapters.notebook_of(cells)


def _title(student, questions):
    return (
        f"# Bug hunt: {student}\n\nEach of these {len(questions)} functions has one bug: in what it computes, or in its "
        "backward pass. Find it and mend it. The lines below a function check it; they are here to help, and you may change "
        "them. Your functions are graded with other sizes and numbers, by values and by `gradcheck` with a tolerance of 1e-12. "
        "The first three are easy, the last one is hard. Use NumPy, and nothing of `minidiff.ops`."
    )


def as_chapter(questions):
    """The paper as scripts/grade.py takes it: one point for each function."""
    made = course.Chapter("exam", Path("exam.ipynb"), [("code", IMPORTS, None)])
    for number, question in enumerate(questions, 1):
        point = course.Point("mended", question.text, question.hidden())
        made.exercises[question.name] = course.Exercise(
            number, question.name, question.wrong, "", [point], question.right, ("minidiff.ops.*",)
        )
    return made


# ---- the commands ----------------------------------------------------------------------------------------------------------


def write_paper(seed, student, folder):
    questions = paper(seed, student)
    for question in questions:
        question.verify()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{student}.ipynb"
    write_whole(path, [(json.dumps(notebook(student, questions), indent=1) + "\n").encode()])
    print(f"{path}: {', '.join(question.name for question in questions)}")


def print_key(seed, student):
    for question in paper(seed, student):
        bug = question.bug
        print(f"{student}, {question.name}, {bug.level}: {bug.what}\n    {bug.old}  ->  {bug.new}")


def main(arguments):
    parser = argparse.ArgumentParser(prog="exam.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (("paper", "write papers"), ("key", "print their bugs"), ("grade", "grade what was handed in")):
        command = commands.add_parser(name, help=what)
        command.add_argument("--seed", required=True, help="your secret: long, and the same for all three commands")
        if name == "grade":
            command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="STUDENT.ipynb or STUDENT.py")
            command.add_argument("--csv", type=Path, help="write a row for each file and function")
        else:
            command.add_argument("students", nargs="+", metavar="STUDENT", help="a name without spaces or slashes")
        if name == "paper":
            command.add_argument("--out", type=Path, default=course.ROOT / "build" / "exam", help="default: build/exam")
    given = parser.parse_args(arguments)
    if given.command == "grade":
        return grade.grade_all(given.files, lambda path: as_chapter(paper(given.seed, path.stem)), given.csv)
    for student in given.students:
        if not re.fullmatch(r"[\w.@-]+", student):
            parser.error(f"STUDENT: got {student!r}, expected letters, digits and . @ - _")
        if given.command == "key":
            print_key(given.seed, student)
        else:
            write_paper(given.seed, student, given.out)


if __name__ == "__main__":
    main(sys.argv[1:])

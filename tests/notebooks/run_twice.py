"""Runs a chapter as a reader does who runs cells again:   PYTHONPATH=scripts python run_twice.py SOURCE SOLUTIONS

Each code cell runs twice in a row. At the end of a section its cells run once more, from the last to the first. Whatever a
cell prints, and the text or number on its last line, has to be the same each time. Cells that read a clock are held to the
same words; their digits may differ. Prints what differs and exits with 1, or prints how many cells were compared.
"""

import ast
import contextlib
import io
import os
import re
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
from course import cells, is_left_to_the_reader

CLOCKS = ("perf_counter", "process_time", "timeit", "time.time", "profiling.measure", "tables[")  # durations, or a plot of them


def run_cell(text, name, names, solved):
    """Run one cell.   -> what it prints, and its last value where that is text, a number or an array"""
    body = ast.parse(text, name).body
    body = [solved[node.name] if is_left_to_the_reader(node) and solved else node for node in body]
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        exec(compile(ast.Module(body, []), name, "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
    if isinstance(value, (str, int, float, np.generic, np.ndarray)):
        print(repr(value), file=printed)
    elif hasattr(value, "_repr_png_"):
        print(f"picture {hash(value._repr_png_())}", file=printed)
    return printed.getvalue()


def without_digits(text):
    kept = [line for line in text.splitlines() if not line.startswith("  ")]  # a profile's rows, the slowest op first
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", "\n".join(kept)))


def run(path, solutions):
    answers = ast.parse(Path(solutions).read_text(encoding="utf-8")).body
    solved = {node.name: node for node in answers if isinstance(node, ast.FunctionDef)}
    names, first, section, wrong = {"__name__": "__main__"}, {}, [], []
    compared = {"exactly": 0, "without digits": 0}

    def once(number, text, when):
        name = f"{Path(path).name}, cell {number}"
        try:
            printed = run_cell(text, name, names, solved)
        except Exception:
            if when == "the first time":
                raise
            wrong.append(f"{name}: fails {when}\n{traceback.format_exc(limit=-2)}")
            return
        before, timed = first.setdefault(number, printed), any(clock in text for clock in CLOCKS)
        same = without_digits(before) == without_digits(printed) if timed else before == printed
        if not same:
            wrong.append(f"{name}: differs {when}\n--- first\n{before[:1500]}\n--- then\n{printed[:1500]}")
        elif printed and when == "the second time":
            compared["without digits" if timed else "exactly"] += 1

    def again():
        for number, text in reversed(section):
            once(number, text, "in reverse order")
        for number, text in section:  # so that the next section starts from what a reader has
            once(number, text, "once more")
        section.clear()

    for number, (kind, text) in enumerate(cells(Path(path).read_text(encoding="utf-8"))):
        if kind == "markdown":
            if re.search(r"^## ", text, re.M):
                again()
            continue
        once(number, text, "the first time")
        once(number, text, "the second time")
        section.append((number, text))
    again()
    print("\n".join(wrong) or f"the same: {compared['exactly']} exactly, {compared['without digits']} without digits")
    return bool(wrong)


if __name__ == "__main__":
    os.environ["MINIDIFF_FAST"] = "1"
    sys.exit(run(*sys.argv[1:]))

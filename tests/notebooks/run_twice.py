"""Runs a chapter as a reader does who runs cells again:   PYTHONPATH=scripts python run_twice.py SOURCE [SOLUTIONS]

A function that is left to the reader, its body nothing but `...`, is replaced by the one of that name in the file SOLUTIONS.
Each code cell runs twice in a row. At the end of a section its cells run once more, from the last to the first. Whatever a
cell prints, and the text or number on its last line, has to be the same each time. Cells that read a clock are held to the
same words; their digits may differ.

Prints what the cells print the first time, then what differs, and exits with 1; or how many cells were compared, and the CPU
time that the first time took, which is what the chapter takes where nothing runs again.
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
        png = value._repr_png_()
        assert len(png) > 1000
        print(f"picture {hash(png)}", file=printed)
    return printed.getvalue()


def cpu_seconds():
    """CPU time of this process and of those it has waited for."""
    return sum(os.times()[:4])


def without_digits(text):
    kept = [line for line in text.splitlines() if not line.startswith("  ")]  # a profile's rows, the slowest op first
    return re.sub(r"\s+", " ", re.sub(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", "#", "\n".join(kept)))


def run(path, solutions=None):
    answers = ast.parse(Path(solutions).read_text(encoding="utf-8")).body if solutions else []
    solved = {node.name: node for node in answers if isinstance(node, ast.FunctionDef)}
    names, first, section, wrong = {"__name__": "__main__"}, {}, [], []
    compared, used = {"exactly": 0, "without digits": 0}, [cpu_seconds()]  # imports, then each cell

    def once(number, text, when):
        name, start = f"{Path(path).name}, cell {number}", cpu_seconds()
        try:
            printed = run_cell(text, name, names, solved)
        except Exception:
            if when == "the first time":
                raise
            wrong.append(f"{name}: fails {when}\n{traceback.format_exc(limit=-2)}")
            return
        if when == "the first time":
            used.append(cpu_seconds() - start)
            print(printed)
        before, timed = first.setdefault(number, printed), any(clock in text for clock in CLOCKS)
        same = without_digits(before) == without_digits(printed) if timed else before == printed
        if not same:
            wrong.append(f"{name}: differs {when}\n--- first\n{before[:1500]}\n--- then\n{printed[:1500]}")
        elif printed and when == "the second time":
            compared["without digits" if timed else "exactly"] += 1

    def again():
        names_of_a_reader = dict(names)
        for number, text in reversed(section):
            once(number, text, "in reverse order")
        names.clear()  # in place: a chapter's functions look their names up here
        names.update(names_of_a_reader)
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
    same = f"the same: {compared['exactly']} exactly, {compared['without digits']} without digits, {sum(used):.2f} s"
    print("\n".join(wrong) or same)
    return bool(wrong)


if __name__ == "__main__":
    os.environ["MINIDIFF_FAST"] = "1"
    sys.exit(run(*sys.argv[1:]))

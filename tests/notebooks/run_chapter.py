"""Run the code cells of a chapter without Jupyter:   PYTHONPATH=scripts python run_chapter.py SOURCE [SOLUTIONS]

The value of a cell's last line is drawn if it is a picture, so that pictures are tested too. A function that is left
to the reader, its body nothing but `...`, is replaced by the one of that name in the file SOLUTIONS.
"""

import ast
import sys
from pathlib import Path

from course import cells, is_left_to_the_reader


def run(path, solutions=None):
    names, solved = {"__name__": "__main__"}, {}
    if solutions:
        answers = ast.parse(Path(solutions).read_text(encoding="utf-8")).body
        solved = {node.name: node for node in answers if isinstance(node, ast.FunctionDef)}
    for number, (kind, text) in enumerate(cells(Path(path).read_text(encoding="utf-8"))):
        if kind == "markdown":
            continue
        body = ast.parse(text, f"{Path(path).name}, cell {number}").body
        body = [solved[node.name] if is_left_to_the_reader(node) and solved else node for node in body]
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), f"{Path(path).name}, cell {number}", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), f"{Path(path).name}, cell {number}", "eval"), names)
            draw = getattr(value, "_repr_png_", None)
            if draw:
                assert len(draw()) > 1000


if __name__ == "__main__":
    run(*sys.argv[1:])

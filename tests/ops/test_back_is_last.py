"""`back` is defined last, right above `return y, back`, so nothing that it captured can be bound again after it."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "minidiff"
ALLOWED = {"training/parallel/data_parallel.py"}  # hangs the release of the workers' memory on `back`


def _blocks(node):
    for child in ast.walk(node):
        for block in ("body", "orelse", "finalbody"):
            if isinstance(getattr(child, block, None), list):
                yield getattr(child, block)


def test_back_is_defined_last():
    found = set()
    for file in PACKAGE.rglob("*.py"):
        for block in _blocks(ast.parse(file.read_text(encoding="utf-8"))):
            for i, statement in enumerate(block):
                followed = [type(after) for after in block[i + 1 :]]
                if isinstance(statement, ast.FunctionDef) and statement.name == "back" and followed != [ast.Return]:
                    found.add(file.relative_to(PACKAGE).as_posix())
    assert found == ALLOWED

"""Every error message of the command line, read from the source: the table of docs/api/errors.md.

A message is the text of a `raise` in a file that only the command line and its configuration use, or of `argparse`.
"""

import argparse
import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FILES = ("cli.py", "commands/*.py", "runs.py", "names.py", "recipes/*.py", "training/config.py", "training/resume.py")
EXCEPTIONS = ("ValueError", "TypeError", "FileNotFoundError", "SettingsDiffer")


class Message(NamedTuple):
    """argument: what was wrong; template: the whole message, with {} around what is filled in; file: where it is raised."""

    argument: str
    template: str
    file: str


def files():
    return sorted({path for pattern in FILES for path in (ROOT / "minidiff").glob(pattern)})


def raised():
    """The messages of all `raise` statements with a text, in the order of the files."""
    found = []
    for path in files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) in EXCEPTIONS:
                for text in templates(node.exc.args[0], functions):
                    found.append(Message(text.partition(": ")[0], text, path.relative_to(ROOT).as_posix()))
    return found


def templates(node, functions):
    """The texts that an expression stands for: a literal, a list of them, or what a function of this file returns."""
    if isinstance(node, ast.ListComp):
        return templates(node.elt, functions)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
        returns = [part.value for part in ast.walk(functions[node.func.id]) if isinstance(part, ast.Return)]
        return [text for value in returns for text in templates(value, functions)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(part.value if isinstance(part, ast.Constant) else f"{{{hole(part.value)}}}" for part in node.values)]
    return []  # the message of another exception, passed on


def hole(expression):
    """A short name for what is filled in."""
    names = [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]
    attributes = [node.attr for node in ast.walk(expression) if isinstance(node, ast.Attribute)]
    return ast.unparse(expression) if isinstance(expression, ast.Name) else (attributes or names or ["..."])[0]


def parsed():
    """What argparse reports: a row for each kind of value, with the options that take it."""
    from minidiff import cli

    kinds = {}
    commands = next(a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    for parser in commands.values():
        for action in parser._actions:
            name = "/".join(action.option_strings) or action.dest
            if action.type is not None:
                try:
                    action.type("?")
                except argparse.ArgumentTypeError as error:
                    kinds.setdefault(str(error).replace("'?'", "{value}"), {})[name] = None
    return [Message(", ".join(names), f"argument {{name}}: {text}", "argparse") for text, names in kinds.items()]


def rows():
    """[argument, message, file] of every message, for a table."""
    return [(f"`{m.argument}`", f"`{m.template}`", f"`{m.file}`") for m in [*raised(), *parsed()]]

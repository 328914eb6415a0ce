"""The cells of a hand-in: which of them are the student's own, and what of them is Python."""

import ast
import difflib
import functools
import json
import re

ALIKE = 0.6  # share of a cell's characters, from which on it is a cell of the chapter with changes
OTHER_LANGUAGE = re.compile(r"\s*%%(?!time|timeit|capture|prun)")
MAGIC = re.compile(r"^(\s*)(?:[%!?].*|.*\?\s*)$")


def read(path, split):
    """The code cells of a notebook or a .py file.   split: text -> [(kind, text)], of the percent format

    -> [text]; cells that nbgrader has locked are left out. Raises ValueError for what is not a notebook.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return [cell for kind, cell in split(text if text.startswith("# %%") else "# %%\n" + text) if kind == "code"]
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise ValueError("not a notebook: nested too deeply") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("not a notebook: no list of cells")
    return [_source(cell) for cell in notebook["cells"] if _is_code(cell)]


def _is_code(cell):
    if not isinstance(cell, dict) or cell.get("cell_type") != "code":
        return False
    labels = cell.get("metadata")
    labels = labels.get("nbgrader") if isinstance(labels, dict) else None
    return not (isinstance(labels, dict) and labels.get("locked"))


def _source(cell):
    source = cell.get("source", "")
    source = "".join(map(str, source)) if isinstance(source, list) else source
    return source if isinstance(source, str) else ""


def of_the_student(texts, chapter):
    """The cells that are not the chapter's.   chapter: course.Chapter   -> [text]

    A cell of the chapter with changes is left out too, as nbgrader puts it back. An exercise's cell is the student's.
    """
    given = {_bare(text): exercise for kind, text, exercise in chapter.cells if kind == "code"}
    unchanged = {_bare(text) for text in texts}
    left = [text for text, exercise in given.items() if exercise is None and text not in unchanged]
    found = []
    for text in texts:
        bare = _bare(text)
        if bare in given or not bare:
            continue
        if last_that_defines("|".join(chapter.exercises), [text]) < 0:
            like = [other for other in left if _alike(bare, other)]
            if like:
                left.remove(like[0])
                continue
        found.append(text)
    return found


def _bare(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _alike(a, b):
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def last_that_defines(name, texts):
    """The last cell in which `name` is defined or assigned, however; -1 where none is.   name: a name, or names as a|b"""
    pattern = definition_of(name)
    return max((number for number, text in enumerate(texts) if pattern.search(text)), default=-1)


@functools.cache
def definition_of(name):
    """The pattern of a line that defines or assigns `name`."""
    return re.compile(
        rf"^(?:async )?(?:def|class)[ \t]+(?:{name})\b|^(?:{name})\b[^=\n(]*=(?!=)|\bas[ \t]+(?:{name})\b", re.MULTILINE
    )


def plain_python(text):
    """A cell without IPython's own syntax: magics, shell commands, `name?`. What has no Python in it becomes nothing."""
    if OTHER_LANGUAGE.match(text):
        return ""
    try:
        ast.parse(text)
    except SyntaxError:
        lines = (MAGIC.sub(r"\1pass", line) for line in text.splitlines())
        plain = "\n".join(lines)
        try:
            ast.parse(plain)
        except SyntaxError:
            return text  # to be raised where the cell runs, in the student's own words
        return plain
    return text

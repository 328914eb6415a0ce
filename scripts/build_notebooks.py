"""Write and run the notebooks:   python scripts/build_notebooks.py [--text] [NAME ...]

notebooks/NN_name.py, in percent format, is what people edit and review. This makes notebooks/NN_name.ipynb of it: the
same cells, executed, with what they print and draw. Names may be cut short ("03"); without any, every chapter is made.
--text updates text, comments and docstrings of notebooks whose code has not changed, and executes nothing. Needs the extra
`notebooks`.
"""

import ast
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from minidiff import chapters

FOLDER = Path(__file__).parent.parent / "notebooks"


def build(source):
    """Execute one chapter and write the notebook beside it, whole or not at all."""
    notebook = read(source)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})  # no clock times, no random names: small diffs
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    return write(notebook, source)


def update_text(source):
    """Update what a notebook does not execute and keep its outputs. Raises ValueError where the code has changed."""
    notebook, written = nbformat.read(source.with_suffix(".ipynb"), as_version=4), read(source)
    kept, asked = ([executed(c.source) if c.cell_type == "code" else None for c in n.cells] for n in (notebook, written))
    if kept != asked:
        raise ValueError(f"{source.name}: its code has changed, so it has to be executed: leave out --text")
    for cell, new in zip(notebook.cells, written.cells, strict=True):
        cell.source = new.source
    return write(notebook, source)


def executed(code):
    """A cell's code without comments and docstrings, to compare; the source itself where it is no plain Python."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.dump(tree)


def read(source):
    """The notebook of a chapter's source, not executed."""
    notebook = jupytext.read(source, fmt="py:percent")
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace(chapters.PLACEHOLDER, chapters.install())
    return notebook


def write(notebook, source):
    """Write the notebook beside its source.   -> path"""
    nbformat.validate(notebook)
    path, temporary = source.with_suffix(".ipynb"), source.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def main(arguments):
    names, make = [name for name in arguments if name != "--text"], update_text if "--text" in arguments else build
    chapters = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    unknown = [name for name in names if not any(chapter.stem.startswith(name) for chapter in chapters)]
    if unknown:
        sys.exit(f"no such chapter: {', '.join(unknown)}; there are {', '.join(c.stem for c in chapters)}")
    for chapter in chapters:
        if not names or any(chapter.stem.startswith(name) for name in names):
            start = time.perf_counter()
            path = make(chapter)
            seconds = time.perf_counter() - start
            print(f"{path.name:40} {seconds:6.1f} s {path.stat().st_size / 1000:7.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

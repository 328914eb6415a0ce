"""Write and run the notebooks:   python scripts/build_notebooks.py [NAME ...]

notebooks/NN_name.py, in percent format, is what people edit and review. This makes notebooks/NN_name.ipynb of it: the
same cells, executed, with what they print and draw. Names may be cut short ("03"); without any, every chapter is made.
Needs the extra `notebooks`.
"""

import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"


def build(source):
    """Execute one chapter and write the notebook beside it, whole or not at all.   -> (path, seconds)"""
    notebook = jupytext.read(source, fmt="py:percent")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    start = time.perf_counter()
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": FOLDER}}).execute()
    seconds = time.perf_counter() - start
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})  # no clock times, no random names: small diffs
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    path, temporary = source.with_suffix(".ipynb"), source.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path, seconds


def main(names):
    chapters = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
    unknown = [name for name in names if not any(chapter.stem.startswith(name) for chapter in chapters)]
    if unknown:
        sys.exit(f"no such chapter: {', '.join(unknown)}; there are {', '.join(c.stem for c in chapters)}")
    for chapter in chapters:
        if not names or any(chapter.stem.startswith(name) for name in names):
            path, seconds = build(chapter)
            print(f"{path.name:40} {seconds:6.1f} s {path.stat().st_size / 1000:7.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

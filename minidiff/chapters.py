"""The chapters of the course as the wheel carries them: sources in the percent format, made notebooks here."""

import functools
import importlib.metadata
import re
import tomllib
from pathlib import Path

PLACEHOLDER = "{{install}}"  # in a chapter's source, for the paragraph that `install` returns
HERE = Path(__file__).parent


def sources():
    """The chapters, in their order.   -> {"03": path of its source}

    A wheel has them beside this file, a copy of the repository in notebooks/. Raises FileNotFoundError where neither is there.
    """
    for folder in (HERE / "course", HERE.parent / "notebooks"):
        found = {path.stem[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.py"))}
        if found:
            return found
    raise FileNotFoundError(f"the chapters: got no file in {HERE / 'course'}; install minidiff again")


def title(source):
    """The first heading of a chapter, such as "3. Adding noise"."""
    return re.search(r"^# # (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)[1]


def cells(text):
    """The cells of a percent-format source.   -> [(kind, text)], kind "markdown" or "code" """
    found, kind, lines = [], None, []
    for line in [*text.splitlines(), "# %%"]:
        if line.startswith("# %%"):
            if kind == "markdown":
                lines = [line.removeprefix("#").removeprefix(" ").replace(PLACEHOLDER, install()) for line in lines]
            if kind:
                found.append((kind, "\n".join(lines).strip("\n")))
            kind, lines = "markdown" if "[markdown]" in line else "code", []
        else:
            lines.append(line)
    return found


def install():
    """The paragraph on installing that all chapters share."""
    return (
        "**To install.** You need minidiff, which brings NumPy and matplotlib along. In a copy of the repository, run\n"
        "`pip install -e .`. On Colab, run this in a new cell above this one:\n"
        f"`!git clone {repository()} minidiff && pip install -q ./minidiff`."
    )


@functools.cache
def repository():
    """The address of the repository: from pyproject.toml in a copy of it, else from the installed package's metadata."""
    project = HERE.parent / "pyproject.toml"
    if project.is_file():
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    urls = importlib.metadata.metadata("minidiff").get_all("Project-URL")
    return dict(url.split(", ", 1) for url in urls)["Repository"]


def notebook(source):
    """A chapter as an unexecuted notebook.   source: path   -> dict, of nbformat 4.5"""
    return notebook_of(cells(source.read_text(encoding="utf-8")))


def notebook_of(cells):
    """[(kind, text)] as an unexecuted notebook.   -> dict, of nbformat 4.5"""
    made = []
    for number, (kind, text) in enumerate(cells):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}

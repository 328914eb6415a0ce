"""The guide's Python runs as it is printed, each page from top to bottom, and its commands exist."""

import re
import shlex
from pathlib import Path

import pytest

from minidiff import cli

DOCS = Path(__file__).parents[2] / "docs"
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted((DOCS / "guide").glob("*.md")), DOCS / "scaling.md"]


def bare(text):
    """Without comments and empty lines."""
    return "\n".join(line.split("  #")[0].rstrip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    space = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        if bare(block) not in bare(README):  # the quickstart is run by the README's own test
            exec(compile(block, page.name, "exec"), space)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_understood(page):
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["minidiff"]:
                cli._parser().parse_args(words[1:])

"""Which page derives which op: read from the pages themselves, so that there is no list to forget."""

import re
from pathlib import Path

from minidiff import ops

FOLDER = Path(__file__).resolve().parent.parent / "derivations"


def pages():
    """{op: (page, title)} in the order of `ops.__all__`; an op that no page includes the code of is missing."""
    found = {}
    for page in sorted(FOLDER.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        title = re.search(r"^# (.+)$", text, re.M)[1]
        for line in re.findall(r"^```\{code-of\} (.+)$", text, re.M):
            for name in line.split():
                found.setdefault(name.rpartition(".")[2], (page.name, title))
    return {op: found[op] for op in ops.__all__ if op in found}

"""Tables that the site makes of the package and of the repository's own files, each by a directive of its name."""

import sys
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))


def table(heads, rows):
    """Lines of a Markdown table."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *cells]]


def samplers():
    from minidiff.samplers import SAMPLERS

    heads = ["name", "order", "adds noise", "network calls a step", "steps by default", "from"]
    return table(heads, [
        (f"`{row.name}`", "-" if row.order is None else row.order, "no" if row.deterministic else "yes", row.calls,
         "all T" if row.steps is None else row.steps, row.paper.replace("_", "\\_"))
        for row in SAMPLERS.values()
    ])  # fmt: skip


def studies():
    from minidiff.studies import STUDIES, question

    return table(["command", "asks"], [(f"`minidiff study {name}`", question(name)) for name in STUDIES])


def derivations():
    """Every op and the page that derives it, by what the pages include."""
    from derivation_pages import pages

    return table(["op", "page"], [(f"`ops.{op}`", f"[{title}]({page})") for op, (page, title) in pages().items()])


def questions():
    from question_index import for_site

    return for_site()


class Made(SphinxDirective):
    def run(self):
        self.env.note_dependency(__file__)
        self.env.note_reread()
        return self.parse_text_to_nodes("\n".join(MADE[self.name]()))


MADE = {"samplers": samplers, "studies": studies, "derivations": derivations, "questions": questions}


def setup(app):
    for name in MADE:
        app.add_directive(name, Made)
    return {"parallel_read_safe": True}

"""Tables that the site makes of the package and of the repository's own files, each by a directive of its name."""

import json
import sys
import tomllib
from collections import Counter
from functools import cache
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

    heads = ["name", "order", "adds noise", "network calls a step", "from"]
    rows = [
        (f"`{row.name}`", row.order or "-", "no" if row.deterministic else "yes", row.calls, row.paper.replace("_", "\\_"))
        for row in SAMPLERS.values()
    ]
    return table(heads, rows)


def studies():
    from minidiff.studies import STUDIES, question

    return table(["command", "asks"], [(f"`minidiff study {name}`", question(name)) for name in STUDIES])


def error_messages():
    from error_messages import rows

    return table(["argument", "message", "from"], rows())


def derivations():
    """Every op and the page that derives it, by what the pages include."""
    from derivation_pages import pages

    return table(["op", "page"], [(f"`ops.{op}`", f"[{title}]({page})") for op, (page, title) in pages().items()])


def questions():
    from question_index import for_site

    return for_site()


def chapters():
    from chapter_index import PICTURES
    from chapter_index import chapters as listed

    rows = []
    for entry in listed():
        number, name, path = entry["number"], entry["name"], entry["path"]
        there = (PICTURES / f"{number}.png").is_file()
        picture = f"![{name}](images/chapters/{number}.png)" if there else ""
        rows.append((picture, f"[{int(number)} {name}](chapters/{path.name})", entry["asks"], entry["minutes"] or "-"))
    return table(["", "chapter", "asks", "minutes to run"], rows)


def presets():
    """The settings of the playground that the chapters point to, each a link that opens it."""
    from chapter_index import chapters as listed

    names = {entry["number"]: f"[{int(entry['number'])} {entry['name']}](chapters/{entry['path'].name})" for entry in listed()}
    page = ROOT / "minidiff" / "playground" / "page"
    rows = []
    for preset in json.loads((page / "presets.json").read_text(encoding="utf-8")):
        address = f"playground/index.html#{preset['settings']}".replace("&", "&amp;")
        rows.append((names[preset["chapter"]], f'<a href="{address}">{preset["title"]}</a>'))
    return table(["chapter", "setting"], rows)


@cache
def checked():
    """[(name, error, gradients)] of every case of the gradient checker, as `minidiff gradcheck --seeds 1` prints them."""
    from minidiff import selfcheck

    rows = [row[1:] for row in selfcheck.table(seeds=1)]
    failures = [str(error) for _, error, _ in rows if isinstance(error, AssertionError)]
    if failures:
        raise AssertionError("\n".join(failures))
    return rows


def gradcheck():
    rows, total = checked(), sum(n for _, _, n in checked())
    shown = [(f"`{name}`", f"{error:.1e}", n) for name, error, n in rows]
    return [f"{total} gradients of {len(rows)} cases, none wrong:", "", *table(["case", "largest error", "gradients"], shown)]


def own_sources(thing):
    """What the entries of a file give as their sources, each once, without the file names inside a project."""
    if isinstance(thing, list):
        thing = dict(enumerate(thing))
    if not isinstance(thing, dict):
        return {}
    found = dict.fromkeys([thing["source"].partition(", tests/")[0]] if isinstance(thing.get("source"), str) else [])
    for part in thing.values():
        found |= own_sources(part)
    return found


def oracles():
    """The files of reference values: the sources that they give, and how many numbers they contain."""

    def count(thing):
        if isinstance(thing, (dict, list)):
            return sum(map(count, thing.values() if isinstance(thing, dict) else thing))
        return int(isinstance(thing, (int, float)) and not isinstance(thing, bool))

    rows = []
    for file in sorted((ROOT / "tests").rglob("*.json")):
        held = json.loads(file.read_text(encoding="utf-8"))
        source = held.get("source") or "; ".join(own_sources(held)) if isinstance(held, dict) else ""
        if source:
            rows.append((f"`{file.relative_to(ROOT).as_posix()}`", source.replace("_", "\\_"), count(held)))
    return table(["file", "from", "numbers"], rows)


def zoo():
    listed = tomllib.loads((ROOT / "tests" / "zoo" / "mistakes.toml").read_text(encoding="utf-8"))["mistake"]
    rooms = Counter(Path(m["file"]).parts[1] for m in listed)
    total = f"{len(listed)} mistakes: " + ", ".join(f"{n} in `{room}`" for room, n in rooms.most_common()) + "."
    return [total, "", *table(["mistake", "in", "seen"], [(m["name"], f"`{m['file']}`", m["seen"]) for m in listed])]


def wrong_answers():
    rows = []
    for file in sorted((ROOT / "tests" / "assignments" / "wrong").glob("*.toml")):
        listed = tomllib.loads(file.read_text(encoding="utf-8"))["wrong"]
        rows.append((int(file.stem), len({entry["of"] for entry in listed}), len(listed)))
    return [f"{sum(n for *_, n in rows)} wrong answers:", "", *table(["chapter", "exercises", "wrong answers"], rows)]


class Made(SphinxDirective):
    def run(self):
        self.env.note_reread()
        return self.parse_text_to_nodes("\n".join(MADE[self.name]()))


LISTED = (chapters, samplers, studies, error_messages, derivations, questions, presets, gradcheck, oracles, wrong_answers, zoo)
MADE = {made.__name__: made for made in LISTED}


def setup(app):
    for name in MADE:
        app.add_directive(name, Made)
    return {"parallel_read_safe": True}

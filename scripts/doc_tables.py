"""Write the tables of the pages in docs anew from the measurements beside them, or check that they are what those say.

    python scripts/doc_tables.py             rewrite
    python scripts/doc_tables.py --check     exit code 1 when a table is out of date

The measurements of docs/PAGE.md lie in docs/PAGE: the CSV files of `minidiff study`, the JSON files of benchmarks.

A table stands below a comment that says how it is made, up to the next empty line:

    <!-- samplers.csv | rows sampler | columns steps | value frechet | where data=digits | format .2f -->

rows, columns: what names them; value: what is in a cell, with its standard error where there is one. Several values, and no
columns, make a column each. as: other names for these, "a, b". where: "key=value and key=value". Cells without a measurement
are empty.
"""

import json
import re
import sys
from pathlib import Path

from minidiff.studies.table import read_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"(<!-- (?P<spec>\w+\.(?:csv|json) \|.*?) -->\n)(?P<table>(?:\|.*\n)*)")


def render(spec, folder):
    """The lines of a table from the text of its comment."""
    name, *parts = [part.strip() for part in spec.split("|")]
    options = dict(part.split(maxsplit=1) for part in parts)
    wanted = [c.split("=", 1) for c in re.split(r" and (?=\w+=)", options.get("where", "")) if c]  # "salt and pepper" is whole
    rows = [row for row in read(folder / name) if all(str(row.get(key)) == value for key, value in wanted)]
    key, column, values = options["rows"], options.get("columns"), options["value"].split(", ")
    rows = [row for row in rows if column is None or row[column] is not None]
    heads = list(dict.fromkeys(row[column] for row in rows)) if column else values
    if column and all(isinstance(head, (int, float)) for head in heads):
        heads.sort()
    named = options["as"].split(", ") if "as" in options else [str(head).replace("_", " ") for head in heads]
    lines = [[key.replace("_", " "), *named]]
    for label in dict.fromkeys(row[key] for row in rows):
        own = [row for row in rows if row[key] == label]
        if column:
            found = {row[column]: cell(row, values[0], options.get("format", ".2f")) for row in own}
        else:
            found = {value: cell(own[0], value, options.get("format", ".2f")) for value in values}
        lines.append([str(label), *(found.get(head, "") for head in heads)])
    if not rows:
        raise ValueError(f"{spec}: no row of {name} fits")
    return "".join(f"| {' | '.join(line)} |\n" for line in [lines[0], ["---"] * len(lines[0]), *lines[1:]])


def read(path):
    """The rows of a table, dictionaries."""
    if path.suffix == ".csv":
        return read_table(path)
    figures = json.loads(path.read_text(encoding="utf-8"))
    return [*figures["rows"], {"group": "machine", **figures["machine"]}]


def cell(row, value, form):
    """A number, with its standard error behind it."""
    if row[value] is None:
        return ""
    if not isinstance(row[value], (int, float)):
        return str(row[value])
    error = row.get(f"{value}_error")
    return f"{row[value]:{form}}" + (f" ± {error:{form}}" if error is not None else "")


def pages():
    """Every page with measurements beside it."""
    return [
        page for page in sorted(DOCS.glob("*.md")) if page.with_suffix("").is_dir() and BLOCK.search(page.read_text("utf-8"))
    ]


def main(arguments):
    stale = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = BLOCK.sub(lambda block, page=page: block[1] + render(block["spec"], page.with_suffix("")), text)
        if new != text:
            stale.append(page.name)
            if "--check" not in arguments:
                page.write_text(new, encoding="utf-8")
    print(f"{'out of date' if '--check' in arguments else 'rewritten'}: {', '.join(stale)}" if stale else "up to date")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

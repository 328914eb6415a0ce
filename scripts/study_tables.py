"""Write the tables of docs/studies.md anew from the CSV files in docs/studies, or check that they are what those say.

    python scripts/study_tables.py             rewrite
    python scripts/study_tables.py --check     exit code 1 when a table is out of date

A table stands below a comment that says how it is made, up to the next empty line:

    <!-- samplers.csv | rows sampler | columns steps | value frechet | where data=digits | format .2f -->

rows, columns: what names them; value: what is in a cell, with its standard error where there is one. Several values, and no
columns, make a column each. Cells without a measurement are empty.
"""

import re
import sys
from pathlib import Path

from minidiff.studies.table import read_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
BLOCK = re.compile(r"(<!-- (?P<spec>\w+\.csv \|.*?) -->\n)(?P<table>(?:\|.*\n)*)")


def render(spec, folder=DOCS / "studies"):
    """The lines of a table from the text of its comment."""
    name, *parts = [part.strip() for part in spec.split("|")]
    options = dict(part.split(maxsplit=1) for part in parts)
    wanted = [condition.split("=") for condition in options.get("where", "").split(",") if condition]
    rows = [row for row in read_table(folder / name) if all(str(row[key]) == value for key, value in wanted)]
    key, column, values = options["rows"], options.get("columns"), options["value"].split(", ")
    heads = list(dict.fromkeys(row[column] for row in rows)) if column else values
    if column and all(isinstance(head, (int, float)) for head in heads):
        heads.sort()
    lines = [[key.replace("_", " "), *(str(head).replace("_", " ") for head in heads)]]
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


def cell(row, value, form):
    """A number, with its standard error behind it."""
    if row[value] is None:
        return ""
    if not isinstance(row[value], (int, float)):
        return str(row[value])
    error = row.get(f"{value}_error")
    return f"{row[value]:{form}}" + (f" ± {error:{form}}" if error is not None else "")


def main(arguments):
    page = DOCS / "studies.md"
    text = page.read_text(encoding="utf-8")
    new = BLOCK.sub(lambda block: block[1] + render(block["spec"]), text)
    if "--check" in arguments:
        print("up to date" if new == text else "docs/studies.md: tables are out of date; run python scripts/study_tables.py")
        return int(new != text)
    page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The house's docstrings as reStructuredText: sentences become paragraphs, columns of shapes stay columns."""

import re

GAP = re.compile(r"   +")  # three spaces part a sentence from the shapes behind it


def prose(text):
    """One line or paragraph of plain words: `code` becomes literal, everything else stands for itself."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(rf"\ ``{part[1:-1]}``\ " if part.startswith("`") else re.sub(r"([*_|`\\])", r"\\\1", part) for part in parts)


def columns(lines):
    """Lines whose spaces mean something."""
    return [".. code-block:: none", "", *("    " + line for line in lines), ""]


def rst(lines):
    """The lines of a docstring -> lines of reStructuredText."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip())
    out = []
    for number, block in enumerate(blocks):
        rows = block.splitlines()
        if number == 0:
            head, *shapes = GAP.split(rows[0], maxsplit=1)
            if shapes and not head.endswith((".", "!", "?", ":")):  # no sentence: shapes from the start
                out += columns(rows)
                continue
            rest = shapes + rows[1:]
            if not shapes and not any(GAP.search(row.strip()) or row.startswith(" ") for row in rest):
                head, rest = " ".join(rows), []
            out += [prose(head), ""]
            rows = rest
        if (rows and any(GAP.search(row.strip()) or row.startswith(" ") for row in rows)) or (number == 0 and rows):
            out += columns(rows)
        elif rows:
            out += [prose(" ".join(rows)), ""]
    return out


def rewrite(app, what, name, obj, options, lines):
    if lines:
        lines[:] = rst(lines)


def setup(app):
    app.connect("autodoc-process-docstring", rewrite)
    return {"parallel_read_safe": True}

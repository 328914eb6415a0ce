"""Words and sentences that the house's style rules out:   python scripts/prose.py [FILE ...]   without FILE all prose

Prose: README.md and the other pages, the text cells of the chapters, and the docstrings, comments and messages of minidiff/.
scripts/prose.toml has the rules. Code, formulas and tables are skipped.
"""

import ast
import io
import re
import sys
import tokenize
import tomllib
from collections import Counter
from pathlib import Path

from minidiff.chapters import cells

ROOT = Path(__file__).resolve().parent.parent
RULES = tomllib.loads((ROOT / "scripts" / "prose.toml").read_text(encoding="utf-8"))
LONGEST = 40  # words of a sentence
LONG = "long sentence"


def files():
    """All files with prose, in their order."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "minidiff").rglob("*.md")]
    found += [*(ROOT / "notebooks").glob("[0-9][0-9]_*.py"), *(ROOT / "minidiff").rglob("*.py")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def passages(path):
    """The prose of a file.   -> [(line number, text)]"""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return [(1, text)]
    if path.parent.name == "notebooks":
        return [(0, text) for kind, text in cells(text) if kind == "markdown"]
    return [*_comments(text), *_strings(text)]


def _comments(text):
    """Comments that fill neighbouring lines are one passage; a comment behind code is one by itself."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#\W*(noqa|fmt:|ruff:)", token.string):
            (line, column), words = token.start, token.string.lstrip("# ")
            whole = not token.line[:column].strip()
            if whole and found and found[-1][2] == line - 1:
                found[-1] = found[-1][0], f"{found[-1][1]}\n{words}", line
            else:
                found.append((line, words, line if whole else None))
    return [(first, words) for first, words, _ in found]


def _strings(text):
    """Docstrings, messages and help: constants of three words or more."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            words = "".join(part.value if isinstance(part, ast.Constant) else "`x`" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value
        else:
            continue
        if len(words.split()) >= 3:
            yield node.lineno, words


def plain(text):
    """Text without code, formulas, tables, links and HTML; each piece of code or formula is one word."""
    text = re.sub(r"^[ \t]*(```|~~~).*?^[ \t]*\1", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\$\$.*?\$\$", " X ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*\|.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"``.*?``|`[^`]*`|(?<!\\)\$[^$\n]+\$", " X ", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"<[^>]+>|https?://\S+", " ", text)


def sentences(text):
    """Sentences of plain text: they end at a full stop, a blank line, a heading, an item of a list, a row of a docstring."""
    text = re.sub(r"^.*\S {2,}\S.*$", r"\n\g<0>\n", text, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*#>]|\d+\.)\s)", text):
        yield from re.split(r"(?<=[.!?:;])[\"')*]*\s+(?=[\"'(*]*[A-Z0-9])", " ".join(block.split()))


def faults(path):
    """-> [(rule's name, line or 0, what was found)]"""
    found = []
    for line, text in passages(path):
        words = plain(text)
        for name, rule in RULES["word"].items():
            found += [(name, line, match[0]) for match in re.finditer(rule["pattern"], words, re.IGNORECASE)]
        found += [(LONG, line, s) for s in sentences(words) if len(s.split()) > LONGEST]
    return found


def counts(paths):
    """-> {"file": {rule's name: how often}}"""
    found = {path.relative_to(ROOT).as_posix(): Counter(name for name, *_ in faults(path)) for path in paths}
    return {name: dict(sorted(number.items())) for name, number in found.items() if number}


def main(arguments):
    paths = [Path(name).resolve() for name in arguments] or files()
    for path in paths:
        for name, line, words in faults(path):
            instead = RULES["word"].get(name, {}).get("use", f"at most {LONGEST} words")
            print(f"{path.relative_to(ROOT)}:{line}: {name}: {words}   use: {instead}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Flesch reading ease of the pages:   python scripts/reading_ease.py [FILE ...]   without FILE README, guide and chapters

The higher, the easier: about 30 for a scientific paper, 60 for a newspaper. Only prose counts: code, formulas, tables, links,
HTML and headings are left out. Needs textstat: pip install -e '.[prose]'.
"""

import re
import sys
from pathlib import Path

import prose

ROOT = Path(__file__).resolve().parent.parent


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md")), *sorted((ROOT / "docs").glob("*.md")),
            *sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))]  # fmt: skip


def running_text(path):
    """The sentences of a page, one a line: what a reader reads aloud."""
    text = "\n\n".join(words for _, words in prose.passages(path))
    text = re.sub(r"<!--.*?-->|^#[^\n]*$|^\([\w-]+\)=$", "\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^[ \t]*(?:[-*>]|\d+\.)[ \t]+", "\n", prose.plain(text), flags=re.MULTILINE)  # items of a list
    text = re.sub(r"!?\[[^\]]*\]\([^)]*\)|[*_|]+", " ", text)
    text = re.sub(r"[ \t]+", " ", text)
    sentences = [" ".join(re.sub(r"(?<!\w)X(?!\w)", " ", s).split()) for s in prose.sentences(text)]  # X: code or a formula
    whole = [s for s in sentences if len(re.findall(r"[a-z]{2,}", s)) > 3]
    return "\n".join(s if s.endswith((".", "!", "?", ":")) else f"{s}." for s in whole)


def ease(path):
    """Flesch reading ease: 206.8 - 1.015 words per sentence - 84.6 syllables per word."""
    import textstat

    return textstat.flesch_reading_ease(running_text(path))


def main(arguments):
    for path in [Path(name).resolve() for name in arguments] or pages():
        print(f"{ease(path):6.1f}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])

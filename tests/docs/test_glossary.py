"""The glossary: its form, and that chapters link a term which they use before the chapter that introduces it."""

import re
from pathlib import Path

import prose
import pytest
from course import cells

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
ENTRIES = [tuple(part.strip().split("\n\n")) for part in PAGE.split("\n## ")[1:]]  # term, text, symbol and names
CHAPTERS = {int(path.stem[:2]): path for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))}


def anchor(term):
    return re.sub(r"[^\w -]", "", term.lower()).replace(" ", "-")


def introduced(facts):
    return int(re.search(r"\[Chapter (\d+)\]\(chapters/(\d\d)_\w+\.ipynb\)", facts)[1])


def test_there_are_60_to_100_terms_in_order_and_each_has_its_chapter():
    terms = [term for term, *_ in ENTRIES]
    assert 60 <= len(terms) <= 100 and len(terms) == PAGE.count("\n## ") and terms == sorted(terms, key=str.lower)
    for term, text, facts in ENTRIES:
        (path,) = re.findall(r"\(chapters/(\w+)\.ipynb\)", facts)
        assert CHAPTERS[introduced(facts)].stem == path, term
        assert len(re.findall(r"[.!?](?:\s|$)", text)) <= 3, f"{term}: more than two or three sentences"


@pytest.mark.parametrize("number", CHAPTERS)
def test_a_term_that_comes_before_its_chapter_is_linked(number):
    text = "\n".join(t for kind, t in cells(CHAPTERS[number].read_text(encoding="utf-8")) if kind == "markdown")
    words, missing = prose.plain(re.sub(r"^#+ .*$", "", text, flags=re.MULTILINE)), []
    for term, _, facts in ENTRIES:
        pattern = r"(?<![\w-])" + r"\s+".join(map(re.escape, term.split())) + r"s?(?![\w-])"
        used = re.search(pattern, words, 0 if term.isupper() else re.IGNORECASE)
        if used and number < introduced(facts) and f"](../docs/glossary.md#{anchor(term)})" not in text:
            missing.append(term)
    assert not missing

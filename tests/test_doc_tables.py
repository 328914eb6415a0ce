"""The tables of the documentation are those of the measurements beside it."""

import re
from pathlib import Path

import doc_tables
import pytest

from minidiff.studies import STUDIES

ROOT = Path(__file__).parents[1]

PAGES = doc_tables.pages()


def test_there_are_pages():
    assert ROOT / "docs" / "studies.md" in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tables_match_the_result_files(page):
    for table in doc_tables.BLOCK.finditer(page.read_text(encoding="utf-8")):
        assert table["table"] == doc_tables.render(table["spec"], page.with_suffix(""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_and_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / "docs" / picture).is_file()
    for name in re.findall(r"`minidiff study (\w+)`", text):
        assert name in STUDIES


def slug(heading):
    """The anchor that GitHub and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_study_is_on_the_page_and_linked_from_a_chapter():
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    sections = {slug(part.partition("\n")[0]): part for part in page.split("\n## ")[1:]}
    chapters = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    linked = set(re.findall(r"\]\(\.\./docs/studies\.md#([\w-]+)\)", chapters))
    assert linked == set(sections)
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= set(sections)
    assert {name for part in sections.values() for name in re.findall(r"\A.*\n\n`minidiff study (\w+)`", part)} == set(STUDIES)

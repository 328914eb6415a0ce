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
def test_tables_are_what_the_files_say(page):
    for table in doc_tables.BLOCK.finditer(page.read_text(encoding="utf-8")):
        assert table["table"] == doc_tables.render(table["spec"], page.with_suffix(""))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pictures_and_commands_exist(page):
    text = page.read_text(encoding="utf-8")
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (ROOT / "docs" / picture).is_file()
    for name in re.findall(r"`minidiff study (\w+)`", text):
        assert name in STUDIES

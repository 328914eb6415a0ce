"""The tables of the page on the studies are those of the CSV files beside it."""

import importlib.util
import re
from pathlib import Path

from minidiff.studies import STUDIES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def script():
    spec = importlib.util.spec_from_file_location("study_tables", ROOT / "scripts" / "study_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_what_the_files_say():
    tables = list(script().BLOCK.finditer(PAGE))
    assert tables
    for table in tables:
        assert table["table"] == script().render(table["spec"])


def test_pictures_and_commands_exist():
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", PAGE):
        assert (ROOT / "docs" / picture).is_file()
    for name in re.findall(r"`minidiff study (\w+)`", PAGE):
        assert name in STUDIES

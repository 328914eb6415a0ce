"""The site: every op has its page, every question its place, nothing comes from another host, and it builds."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import chapter_index
import derivation_pages
import pytest
import question_index

import minidiff
from minidiff import ops

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


QUESTIONS = tomllib.loads((DOCS / "questions.toml").read_text(encoding="utf-8"))["question"]


# ---- derivations and API -------------------------------------------------------------------------------------------------


def test_every_op_has_a_derivation():
    missing = [op for op in ops.__all__ if op not in derivation_pages.pages()]
    assert not missing, f"docs/derivations holds no page that includes the code of {missing}"


def test_a_derivation_has_mathematics_and_code_and_a_check():
    for page in sorted((DOCS / "derivations").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page.stem != "index":
            assert "$$" in text and "{code-of}" in text and "check" in text, page.name
            assert page.stem in (DOCS / "derivations" / "index.md").read_text(encoding="utf-8"), page.name


def test_pages_do_not_copy_the_code():
    """What they show of the package is included; no page holds a definition of its own."""
    for page in (DOCS / "derivations").glob("*.md"):
        assert "def " not in page.read_text(encoding="utf-8"), page.name


def test_every_room_has_a_page_in_the_api():
    rooms = {p.parent.name for p in Path(minidiff.__file__).parent.glob("*/__init__.py")}
    public = {room for room in rooms if hasattr(importlib.import_module(f"minidiff.{room}"), "__all__")}
    assert public - {page.stem for page in (DOCS / "api").glob("*.md")} == set()


# ---- questions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda entry: entry["asks"])
def test_the_question_stands_in_its_chapter_in_these_words(entry):
    chapters = {question_index.place(where).path for where in entry["in"]}
    said = [re.sub(r"\s+", " ", chapter_text(chapter)) for chapter in chapters]
    assert any(entry["asks"] in text for text in said), chapters


def chapter_text(name):
    """The markdown of a chapter, formulas in plain letters."""
    lines = (ROOT / "notebooks" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    return question_index.plain(" ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#")))


def test_a_missing_heading_is_reported():
    with pytest.raises(ValueError, match="has no heading"):
        question_index.place("03: What is the meaning of life?")
    with pytest.raises(ValueError, match="no chapter 99"):
        question_index.place("99: x")


def test_the_readme_has_every_question():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert question_index.BLOCK.search(readme)
    assert question_index.for_readme() in readme, "run:  python scripts/question_index.py"


def test_the_readme_has_every_chapter_and_its_picture():
    assert chapter_index.rows() in (ROOT / "README.md").read_text(encoding="utf-8"), "run:  python scripts/chapter_index.py"
    for entry in chapter_index.chapters():
        assert (chapter_index.PICTURES / f"{entry['number']}.png").is_file(), entry["number"]
        assert entry["picture"] < len(chapter_index.pictures(entry["path"]))


# ---- building ------------------------------------------------------------------------------------------------------------

PLANTED = {
    "a.html": '<script src="https://cdn.example/x.js"></script>',
    "b.html": '<link rel="stylesheet" href="//example.org/x.css">',
    "c.html": '<img src="http://example.org/x.png">',
    "d.html": '<p style="background: url(https://example.org/x.png)">',
    "e.css": '@import "https://example.org/x.css";',
    "f.css": "@font-face { src: url(https://example.org/x.woff2) }",
    "g.js": 'import("https://cdn.jsdelivr.net/npm/x")',
    "h.html": '<script>require(["https://unpkg.com/x.js"])</script>',
}
FINE = {
    "a.html": '<a href="https://example.org">a link to click</a><img src="x.png"><link rel="next" href="https://example.org/">',
    "b.js": 'element.setAttribute("xmlns", "http://www.w3.org/2000/svg")',
    "c.css": "a { background: url(x.png) } /* https://example.org */",
}


@pytest.fixture(scope="module")
def offline():
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    import offline

    return offline


@pytest.mark.parametrize("name", PLANTED)
def test_a_thing_from_another_host_is_found(offline, tmp_path, name):
    (tmp_path / name).write_text(PLANTED[name])
    assert [file for file, _ in offline.foreign(tmp_path)] == [name]


def test_pages_with_links_alone_are_accepted(offline, tmp_path):
    for name, text in FINE.items():
        (tmp_path / name).write_text(text)
    assert offline.foreign(tmp_path) == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(offline, tmp_path):
    """With no way to another host: whatever asks for one fails."""
    pytest.importorskip("myst_nb", reason="the extra `docs` is not installed")
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "HTTP", "HTTPS")}
    done = subprocess.run(
        [sys.executable, *"-m sphinx -W --keep-going -q -b html -d".split(), tmp_path / "doctrees", DOCS, tmp_path / "site"],
        env={**os.environ, **nowhere, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    site = tmp_path / "site"
    for chapter in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        page = (site / "chapters" / f"{chapter.stem}.html").read_text(encoding="utf-8")
        assert "mathjax/tex-svg.js" in page or "$" not in chapter.read_text(encoding="utf-8")
    assert (site / "_static" / "mathjax" / "tex-svg.js").stat().st_size > 1_000_000
    assert "rstd * (dxhat" in re.sub(r"<[^>]+>", "", (site / "derivations" / "group_norm.html").read_text(encoding="utf-8"))
    assert (site / "playground" / "models" / "digits.safetensors").is_file()
    assert offline.foreign(site) == []

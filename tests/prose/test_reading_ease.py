"""Reading ease counts running prose only, and easy text is easier than hard text."""

import pytest
import reading_ease

PAGE = """# A heading of many words here

A cat sat on the mat with `some.code(here)` and $x^2$. See [the other page](other.md) for
more about cats. <!-- a comment of several words -->

- One item has a few words.
- Another item has a few more words.

| a table | of some words |
|---|---|

```python
some code of many words that nobody reads
```
"""


def test_code_formulas_tables_links_and_headings_do_not_count(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert reading_ease.running_text(page).splitlines() == [
        "A cat sat on the mat with and .", "See the other page for more about cats.", "One item has a few words.",
        "Another item has a few more words."]  # fmt: skip


def test_the_pages_are_readme_guide_and_chapters():
    names = {path.relative_to(reading_ease.ROOT).as_posix() for path in reading_ease.pages()}
    assert {"README.md", "docs/guide/start.md", "docs/gpu.md", "notebooks/01_backward_by_hand.py"} <= names


def test_easy_text_is_easier(tmp_path):
    pytest.importorskip("textstat")
    easy, hard = tmp_path / "easy.md", tmp_path / "hard.md"
    easy.write_text("The cat sat on the mat. The dog ran to the cat.")
    hard.write_text("Regularisation considerably ameliorates generalisation capabilities notwithstanding parameterisation.")
    assert reading_ease.ease(easy) > 90 > 0 > reading_ease.ease(hard)

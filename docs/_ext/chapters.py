"""The chapters of the course on the site: the executed notebooks as they are, and the pictures they point to."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS, PAGES = HERE.parents[1] / "notebooks", HERE.parent / "chapters"


def copy(app):
    """notebooks/*.ipynb -> docs/chapters, those that changed; a page whose notebook is gone goes too.

    A link to ../docs/PAGE, as it is right in the repository, becomes one to ../PAGE.
    """
    PAGES.mkdir(exist_ok=True)
    sources = {path.name: path for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    for page in PAGES.glob("*.ipynb"):
        if page.name not in sources:
            page.unlink()
    for name, source in sources.items():
        target, text = PAGES / name, source.read_text(encoding="utf-8").replace("](../docs/", "](../")
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def setup(app):
    app.connect("builder-inited", copy, priority=100)
    return {"parallel_read_safe": True}

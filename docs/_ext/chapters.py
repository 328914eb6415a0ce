"""The chapters of the course on the site: the executed notebooks as they are, and the pictures they point to."""

import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTEBOOKS, PAGES = HERE.parents[1] / "notebooks", HERE.parent / "chapters"


def copy(app):
    """notebooks/*.ipynb -> docs/chapters, those that changed; a page whose notebook is gone goes too."""
    PAGES.mkdir(exist_ok=True)
    sources = {path.name: path for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    for page in PAGES.glob("*.ipynb"):
        if page.name not in sources:
            page.unlink()
    for name, source in sources.items():
        target = PAGES / name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


def setup(app):
    app.connect("builder-inited", copy, priority=100)
    return {"parallel_read_safe": True}

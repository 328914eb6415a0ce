"""The playground on the site: the page as the package holds it, at playground/."""

import shutil
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "minidiff" / "playground" / "page"


def put(app, error):
    if error is None and app.builder.format == "html":
        target = Path(app.outdir, "playground")
        shutil.rmtree(target, ignore_errors=True)  # a file that is gone goes here too
        shutil.copytree(PAGE, target)


def setup(app):
    app.connect("build-finished", put)
    return {"parallel_read_safe": True}

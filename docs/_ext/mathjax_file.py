"""MathJax as one file of the site itself, fonts included, taken from the PyPI package sphinx-mathjax-offline."""

import shutil
from importlib.metadata import distribution
from pathlib import Path

FILE = "mathjax/tex-svg.js"


def put(app, error):
    """Beside the other scripts of the site, once it is built."""
    if error is None and app.builder.format == "html":
        source = distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/{FILE}")
        target = Path(app.outdir, "_static", FILE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def setup(app):
    app.config.mathjax_path = FILE
    app.config.mathjax3_config = {
        "svg": {"mtextInheritFont": True},
        "options": {"enableMenu": False, "ignoreHtmlClass": "tex2jax_ignore|mathjax_ignore|document",
                    "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"},
    }  # fmt: skip
    app.connect("build-finished", put)
    return {"parallel_read_safe": True}

"""MathJax as one file of the site itself, its letters included, taken from the PyPI package sphinx-mathjax-offline."""

from importlib.metadata import distribution
from pathlib import Path

FILE = "mathjax/tex-svg.js"


def put(app, error):
    """Beside the other scripts of the site, once it is built."""
    if error is None and app.builder.format == "html":
        source = distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/{FILE}")
        # the reader for the blind that it could fetch from elsewhere, if asked to, is switched off and cannot be found
        script = source.read_text(encoding="utf-8").replace("https://cdn.jsdelivr.net/npm/", "")
        target = Path(app.outdir, "_static", FILE)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script, encoding="utf-8")


def setup(app):
    app.config.mathjax_path = FILE
    app.config.mathjax3_config = {
        "svg": {"mtextInheritFont": True},
        "options": {
            "enableMenu": False,
            "ignoreHtmlClass": "tex2jax_ignore|mathjax_ignore|document",
            "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area",
        },
    }
    app.connect("build-finished", put)
    return {"parallel_read_safe": True}

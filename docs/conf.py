"""How `make docs` builds the site: offline, with warnings as errors, and with nothing loaded from another host."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import minidiff
from minidiff import samplers

project = "minidiff"
author = "the minidiff authors"
copyright = author
release = version = minidiff.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "chapters",
    "code_of",
    "docstrings",
    "mathjax_file",
    "offline",
    "playground_page",
    "tables",
]
exclude_patterns = ["_ext", "lite"]
suppress_warnings = ["config.cache"]

html_theme = "sphinx_book_theme"
html_title = "minidiff"
html_static_path = ["_static"]
html_css_files = ["minidiff.css"]
html_js_files = ["search_text.js"]
html_context = {"default_mode": "auto"}
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],
}

nb_execution_mode = "off"  # the chapters are stored executed; `make notebooks` runs them
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"
autodoc_preserve_defaults = True  # as they are written in the source
for made in vars(samplers).values():  # but a sampler's signature is made by its decorator: autodoc must not look for it there
    if hasattr(made, "__signature__"):
        del made.__wrapped__
python_maximum_signature_line_length = 100

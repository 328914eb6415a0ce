"""What the page links to, as plain text from the installed package: the site's own pages are not in the wheel."""

import inspect
import re

from .. import chapters, ops, samplers

SEVERAL = {"activations": ("silu",), "resample": ("upsample_nearest", "avg_pool")}  # pages on several ops


def text_of(path):
    """The text for a path of the site, such as /chapters/03_adding_noise.html; None where there is none."""
    found = re.fullmatch(r"/(chapters|api|derivations)/(\w+)\.html", path)
    if not found:
        return None
    folder, page = found.groups()
    if folder == "chapters":
        return chapter(page)
    if folder == "api":
        return sampler_list() if page == "samplers" else None
    names = [name for name in SEVERAL.get(page, (page,)) if name in ops.__all__]
    return "\n\n".join(inspect.getsource(inspect.unwrap(getattr(ops, name))) for name in names) or None


def chapter(stem):
    """A chapter without what its code prints and draws."""
    source = {path.stem: path for path in chapters.sources().values()}.get(stem)
    if source is None:
        return None
    head = f"This is the text of the chapter. To run it: minidiff course FOLDER {stem[:2]}\n\n"
    parts = [text if kind == "markdown" else "    " + text.replace("\n", "\n    ")
             for kind, text in chapters.cells(source.read_text(encoding="utf-8"))]  # fmt: skip
    return head + "\n\n".join(parts) + "\n"


def sampler_list():
    """The table of samplers, and what each of them is."""
    described = [f"{name}\n    {inspect.getdoc(row.function)}" for name, row in samplers.SAMPLERS.items()]
    return "\n".join(samplers.registry.table()) + "\n\n\n" + "\n\n\n".join(described) + "\n"

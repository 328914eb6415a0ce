"""Code and checks of the package on the pages, read from where they are.

{code-of} minidiff.ops.linear ...   the source of functions, classes or methods as it stands in the package, and where
{checks-of} linear ...              what the gradient checker says of these ops or layers, which injected bugs lie in
                                    their files, and which tests call them
"""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from tables import checked, table

from minidiff import nn, ops

ROOT = Path(__file__).resolve().parents[2]


def find(path):
    """The object of a dotted name: a function of a file, even where the room shows a function under the file's name."""
    parts = path.split(".")
    for cut in range(len(parts) - 1, 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            thing = getattr(thing, part)
        return inspect.unwrap(thing)  # without the dispatcher that stands before a plain op
    raise ValueError(f"code-of: no such thing as {path}")


class CodeOf(SphinxDirective):
    required_arguments, optional_arguments = 1, 20

    def run(self):
        found = []
        for name in self.arguments:
            thing = find(name)
            lines, first = inspect.getsourcelines(thing)
            file = Path(inspect.getsourcefile(thing)).resolve()
            self.env.note_dependency(str(file))
            where = f"{file.relative_to(ROOT).as_posix()}, line {first}"
            code = nodes.literal_block("", inspect.cleandoc("\n" + "".join(lines)), language="python")
            found.append(
                nodes.container("", nodes.caption(where, where), code, literal_block=True, classes=["literal-block-wrapper"])
            )
        return found


class ChecksOf(SphinxDirective):
    required_arguments, optional_arguments = 1, 20

    def run(self):
        lines = table(["`minidiff gradcheck --seeds 1`", "largest relative error", "gradients"], gradients(self.arguments))
        if not any(gradients(self.arguments)):
            lines = ["No array argument is differentiated, so `gradcheck` has nothing to ask."]
        for title, found in (("Bugs injected here, each of which a test must find", mistakes(self.arguments)),
                             ("Tests that call it", callers(self.arguments))):  # fmt: skip
            lines += ["", f"{title}: {'; '.join(found)}."] if found else []
        return self.parse_text_to_nodes("\n".join(lines))


def gradients(names):
    """Rows of the checker's cases for these ops or layers; a case is named after its op, with words behind."""
    public = {*ops.__all__, *nn.__all__}
    for case, error, n in checked():
        own = max((name for name in public | set(names) if f"{case}_".startswith(f"{name}_")), key=len, default="")
        if own in names:
            yield f"`{case}`", f"{error:.1e}", n


def mistakes(names):
    """Names of the injected bugs whose line lies in the source of one of these ops."""
    listed = tomllib.loads((ROOT / "tests" / "zoo" / "mistakes.toml").read_text(encoding="utf-8"))["mistake"]
    found = []
    for name in names:
        if name in ops.__all__:
            thing = inspect.unwrap(getattr(ops, name))
            file, source = Path(inspect.getsourcefile(thing)).resolve(), inspect.getsource(thing)
            found += [m["name"] for m in listed if (ROOT / m["file"]).resolve() == file and m["old"] in source]
    return found


def callers(names):
    """Files of tests that call one of these ops by name."""
    called = re.compile(r"\b(?:ops|F)\.(?:" + "|".join(n for n in names if n in ops.__all__) + r")\b")
    if not any(n in ops.__all__ for n in names):
        return []
    files = [f for f in sorted((ROOT / "tests").rglob("test_*.py")) if re.search(called, f.read_text(encoding="utf-8"))]
    return [f"`{file.relative_to(ROOT).as_posix()}`" for file in files]


def setup(app):
    app.add_directive("code-of", CodeOf)
    app.add_directive("checks-of", ChecksOf)
    return {"parallel_read_safe": True}

"""The order of the rooms of minidiff/: an import may only run down. Imports inside functions count, as do dynamic ones."""

import ast
import graphlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "minidiff"

# Every room of the package, from the ground up. A room may import those of the lines above its own in this list.
ORDER = """
    backend chapters console files heap lock mpi names progress settings tree
    complex_step finite json_file pixels thread_team
    rng viz
    data diffusion
    gradcheck ops
    cpu gpu guarded
    nn samplers
    models
    grading training
    metrics mistakes model_options selfcheck
    runs
    recipes
    interop
    studies
    doctor playground profiling
    commands
    cli
    __main__
"""

# What the order alone would allow. A model is a function of (x, t, condition), and knows no schedule.
WALLS = {"ops": "data diffusion", "cpu": "data diffusion", "gpu": "data diffusion", "nn": "data diffusion",
         "models": "data diffusion samplers", "samplers": "cpu data"}  # fmt: skip

# Imports inside functions: (file, what it imports) and why it stands there.
LAZY = {
    ("__main__.py", "cli"): "Ctrl-C during the other imports is caught as well",
}

# Where a module is imported by a name that is made at run time, and why.
DYNAMIC = {
    "__init__.py": "the public names of minidiff, imported when first used",
    "backend.py": "`fast_version`, the one way from ops and rng up to cpu and gpu; the first call imports the room",
    "rng.py": "a generator that was sent to another process finds its array library there",
    "guarded.py": "functions that an exercise takes away, by the names that its list gives",
    "mistakes/__init__.py": "the chapter of an exercise, by its number",
    "recipes/registry.py": "the recipes of this folder",
    "studies/__init__.py": "the studies of this folder",
}

LEVELS = {room: level for level, line in enumerate(ORDER.strip().splitlines()) for room in line.split()}
FILES = sorted(PACKAGE.rglob("*.py"))


def _name(file):
    """The module that a file holds, such as ("minidiff", "ops", "conv2d")."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {_name(file): file for file in FILES}


def _imports(file):
    """(module of minidiff, whether at module level, line) for every name that a file imports from minidiff."""
    package = file.relative_to(PACKAGE.parent).parent.parts
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            path = (*base, *(node.module or "").split(".")) if node.module else base
            paths = [(*path, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for path in paths:
            module = path if path in MODULES else path[:-1]  # a name in a module is no module itself
            if module in MODULES and module != _name(file):
                yield module, node in tree.body, node.lineno


def _room(module):
    return module[1] if len(module) > 1 else "__init__"


def test_the_list_names_every_room():
    assert set(LEVELS) == {_room(module) for module in MODULES} - {"__init__"}


@pytest.mark.parametrize("room", LEVELS)
def test_no_import_runs_up(room):
    for module, file in MODULES.items():
        if _room(module) == room:
            for other, _, line in _imports(file):
                where, other = f"{file.relative_to(PACKAGE)}:{line} imports {'.'.join(other)}", _room(other)
                if other not in (room, "__init__"):  # of minidiff/__init__.py, the version
                    assert LEVELS[other] < LEVELS[room], where
                    assert other not in WALLS.get(room, "").split(), where


def test_no_circle_among_files():
    """A package's __init__ stands above its files: what a file imports from its own package is a file beside it."""
    graph = {module: {other for other, _, _ in _imports(file)} for module, file in MODULES.items()}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_imports_inside_functions_are_those_of_the_list():
    found = {
        (file.relative_to(PACKAGE).as_posix(), _room(other))
        for file in FILES
        for other, at_module_level, _ in _imports(file)
        if not at_module_level
    }
    assert found == set(LAZY)


def test_dynamic_imports_are_those_of_the_list():
    found = {file.relative_to(PACKAGE).as_posix() for file in FILES if "import_module(" in file.read_text(encoding="utf-8")}
    assert found == set(DYNAMIC)

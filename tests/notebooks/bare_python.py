"""Runs a chapter as a browser would have to:   PYTHONPATH=scripts python bare_python.py SOURCE [SOLUTIONS]

Nothing but the standard library, NumPy, matplotlib and Pillow can be imported, and no thread can be started.
`run_twice.py` does the rest.
"""

import importlib.abc
import importlib.metadata
import sys
import sysconfig
import threading

ALLOWED = ("numpy", "matplotlib", "pillow", "minidiff", "contourpy", "cycler", "fonttools", "kiwisolver", "packaging",
           "pyparsing", "python-dateutil", "six")  # fmt: skip


def bare(name):
    """A distribution's name as others write it."""
    return name.lower().replace("_", "-")


class Blocked(importlib.abc.MetaPathFinder):
    """Every installed package that is not allowed is as if it were not there."""

    def __init__(self):
        owners = importlib.metadata.packages_distributions()
        self.names = {name for name, dists in owners.items() if not any(bare(dist) in ALLOWED for dist in dists)}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (only {', '.join(ALLOWED[:3])} are here)", name=name)
        return None


def no_thread(*_args, **_kwargs):
    raise RuntimeError("can't start new thread")


if __name__ == "__main__":
    sysconfig.get_config_vars()  # kept from now on: this Python is not really the one it will say it is
    sys.meta_path.insert(0, Blocked())
    threading.Thread.start = no_thread
    sys.platform = "emscripten"  # what Pyodide says
    import run_twice

    sys.exit(run_twice.run(*sys.argv[1:]))

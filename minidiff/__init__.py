"""minidiff: diffusion models with every backward pass written by hand, on NumPy and CuPy."""

__version__ = "0.2.0"


ROOMS = ("backend", "data", "diffusion", "gradcheck", "grading", "interop", "metrics", "models", "nn", "ops", "playground",
         "profiling", "recipes", "rng", "samplers", "studies", "training", "viz")  # fmt: skip


def __dir__():
    """The public names, those included that are imported when first used."""
    return sorted({*globals(), *ROOMS, "get_threads", "sample", "set_threads", "threads"})


def __getattr__(name):
    """Imports `sample`, `get_threads`, `set_threads`, `threads` and modules such as `minidiff.samplers` when first used."""
    import importlib

    if name == "sample":
        return importlib.import_module(".samplers", __name__).sample
    if name in ("get_threads", "set_threads", "threads"):
        return getattr(importlib.import_module(".thread_team", __name__), name)
    try:
        return importlib.import_module("." + name, __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None

"""How a step's time grows with batch, width, resolution and cores."""

from .ops import set_threads
from .pairs import measure
from .steps import Ours, Theirs

BASE = {"size": 16, "width": 64, "batch": 16}
SWEEPS = {"batch": (1, 2, 4, 8, 16, 32, 64), "width": (32, 64, 96, 128), "size": (8, 16, 24, 32)}


def sweeps(seconds, threads):
    """{what: {"x", "ours", "theirs"}} in ms of a training step, one of three sizes varied, and the number of threads."""
    found = {}
    for what, values in {**SWEEPS, "threads": range(1, threads + 1)}.items():
        lines = {"x": list(values), "ours": [], "theirs": []}
        for value in values:
            set_threads(value if what == "threads" else threads)
            row = _step(**{**BASE, **({} if what == "threads" else {what: value})}, seconds=seconds)
            lines["ours"].append(row.ours)
            lines["theirs"].append(row.theirs)
            print(f"{what} {value}: {row.ours:.1f} ms, torch {row.theirs:.1f} ms ({row.layout})", flush=True)
        found[what] = lines
    set_threads(threads)
    return found


def draw(found, path):
    """Four panels into one PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(2, 2, figsize=(9, 6.4), constrained_layout=True)
    for panel, (what, lines) in zip(panels.flat, found.items(), strict=True):
        panel.plot(lines["x"], lines["ours"], "o-", color="#b5451b", label="minidiff")
        panel.plot(lines["x"], lines["theirs"], "s--", color="#28536b", label="torch (faster layout)")
        panel.set(xlabel=what, ylabel="training step, ms", ylim=(0, None))
        if what == "threads":
            panel.set_xticks(lines["x"])
        panel.spines[["top", "right"]].set_visible(False)
    panels.flat[0].legend(frameon=False)
    figure.suptitle(", ".join(f"{key} {value}" for key, value in BASE.items()) + ", one of them varied")
    figure.savefig(path, dpi=130)


def _step(size, width, batch, seconds):
    ours = Ours(size, width, batch)
    theirs = {}
    for layout, memory in _layouts().items():
        theirs[layout] = Theirs(size, width, batch, memory)
        theirs[layout].take(ours)
    return measure("scaling", "", ours.train, {k: p.train for k, p in theirs.items()}, seconds)


def _layouts():
    from .ops import LAYOUTS

    return LAYOUTS

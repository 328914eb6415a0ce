"""Curves with error bars, in the style of `viz`."""

from .. import viz

MARKERS = "osD^vP*X"


def curves(axes, rows, x, y, by=None, **style):
    """A line with error bars for each value of column `by`, in order of appearance; cells without a number are left out."""
    names = list(dict.fromkeys(row[by] for row in rows)) if by else [None]
    for i, name in enumerate(names):
        points = [row for row in rows if (by is None or row[by] == name) and row.get(x) is not None and row.get(y) is not None]
        points.sort(key=lambda row: row[x])
        errors = [row.get(f"{y}_error") or 0.0 for row in points]
        options = {"color": colour(i), "marker": MARKERS[i // len(viz.COLOURS) % len(MARKERS)], "markersize": 4,
                   "linewidth": 1.5, "capsize": 2, "label": name} | style  # fmt: skip
        axes.errorbar([row[x] for row in points], [row[y] for row in points], errors, **options)


def colour(i):
    """The i-th colour."""
    return viz.COLOURS[i % len(viz.COLOURS)]


def panels(width, height, columns=1, rows=1):
    """A figure and its axes, left to right and down, as a list."""
    figure = viz.new_figure(width, height, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False).ravel().tolist()


def finish(axes, xlabel=None, ylabel=None, title=None, legend=False, log="", ticks=None):
    """Labels, grid, and logarithmic axes where `log` names them ("x", "y", "xy")."""
    if "x" in log:
        axes.set_xscale("log")
    if "y" in log:
        axes.set_yscale("log")
    if ticks is not None:
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    viz._style(axes, title)
    if legend:
        axes.legend(frameon=False, fontsize=8, **({} if legend is True else legend))

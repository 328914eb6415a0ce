"""Curves with error bars, in the style of `viz`."""

import io
import textwrap

from .. import viz
from ..files import write_whole
from ..mpi import world

MARKERS = "osD^vP*X"


def curves(axes, rows, x, y, by=None, names=None, **style):
    """A line with error bars for each value of column `by`; cells without a number are left out.

    names   the values in the order of their colours (default: as they appear)
    """
    names = names or (list(dict.fromkeys(row[by] for row in rows)) if by else [None])
    for i, name in enumerate(names):
        points = [row for row in rows if (by is None or row[by] == name) and row.get(x) is not None and row.get(y) is not None]
        if not points:
            continue
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
        _plain_numbers(axes)
    if ticks is not None:
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    viz._style(axes, title)
    if legend:
        axes.legend(frameon=False, fontsize=8, **({} if legend is True else legend))


def _plain_numbers(axes):
    """1, 2, 5, 10, ... up a logarithmic axis, where it spans less than three decades."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_ylim()
    if high / low < 1000:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def side_by_side(named, path, columns=(), high=0.5):
    """Draw rows of images, each with its name on the left.   named: [(name, (n, H, W, C)), ...]

    columns: a text above each column, wrapped to its width; high: height of a row in inches
    """
    label, gap = 0.075 * max(len(name) for name, _ in named) + 0.15, 0.06  # inches
    grids = [viz.image_grid(images, columns=len(images)) for _, images in named]
    wide = high * grids[0].shape[1] / grids[0].shape[0]
    texts = [textwrap.fill(text, max(8, int(high / 0.062))) for text in columns]
    head = 0.14 * max((len(text.splitlines()) for text in texts), default=0)
    width, height = label + wide + gap, len(named) * (high + gap) + gap + head
    figure = viz.new_figure(width, height)
    for k, text in enumerate(texts):
        middle = label + wide * (k + 0.5) / len(texts)
        figure.text(middle / width, 1 - (gap + head) / height, text, ha="center", va="bottom", fontsize=7)
    for i, ((name, _), grid) in enumerate(zip(named, grids, strict=True)):
        bottom = height - head - (i + 1) * (high + gap)
        axes = figure.add_axes((label / width, bottom / height, wide / width, high / height))
        shown = grid if grid.shape[-1] == 3 else grid[..., 0]
        axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        figure.text((label - 0.08) / width, (bottom + high / 2) / height, name, ha="right", va="center", fontsize=9)
    if world().is_first:
        save(figure, path)


def save(figure, path):
    """Write a figure as a PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_whole(path, [buffer.getvalue()])

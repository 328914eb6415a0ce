"""Looking at what came out: grids of images, films, loss curves, schedules.

Images are float arrays in [-1, 1] or uint8, (N, H, W, C) or (N, H, W), C = 1 (grey) or 3 (RGB), on either device.

The functions import matplotlib and Pillow when they use them, and never pyplot, so nothing here needs a screen.
A function that returns a Figure shows it in a notebook when it is the last value of a cell, and writes it where a
path is given.
"""

import io
import textwrap
from functools import cache
from pathlib import Path

import numpy as np

from .backend import to_numpy
from .files import write_whole
from .pixels import batch, enlarge, image_grid, save_gif, save_png, to_uint8, warn_not_finite

__all__ = [
    "COLOURS", "denoising_strip", "enlarge", "image_grid", "new_figure", "plot_loss", "plot_points", "plot_schedule",
    "save_gif", "save_png", "show_grid", "to_uint8",
]  # fmt: skip
COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#e0a100", "#0b7285", "#c2255c", "#495057")


# ---- figures ---------------------------------------------------------------------------------------------------------


def show_grid(images, columns=None, titles=None, path=None, scale=None, title=None, rows=None):
    """Images side by side, a title above each if given.   ->   matplotlib Figure

    images (N, H, W, C) or (N, H, W); columns: default about as many as rows; titles: N strings, wrapped to fit
    rows: a label for each row, at its left, wrapped too
    scale: size of an image in inches (default: from how many there are); title: over the whole, wrapped too; path: also
    written there
    """
    images = batch(images)
    n, height, width, _ = images.shape
    if titles is not None and len(titles) != n:
        raise ValueError(f"titles: got {len(titles)}, expected one for each of {n} images")
    columns = columns or max(1, round((n * height / width) ** 0.5))
    count = -(-n // columns)
    if rows is not None and len(rows) != count:
        raise ValueError(f"rows: got {len(rows)}, expected a label for each of {count} rows")
    labels = [textwrap.fill(str(label), 18) for label in rows or ()]
    room = 0.05 + max((0.1 + 0.078 * len(line) for label in labels for line in label.splitlines()), default=0)  # inches
    wide = scale or min(1.4, max(0.45, 9.0 / columns))  # inches, of an image
    high = wide * height / width
    titles = [textwrap.fill(str(t), max(8, int(wide / 0.075))) for t in titles] if titles is not None else [""] * n
    lines = [max(len(t.splitlines()) for t in titles[row * columns :][:columns]) for row in range(count)]
    above = [0.16 * n_lines + 0.08 * (n_lines > 0) for n_lines in lines]  # inches, for the titles of a row
    title = textwrap.fill(title, max(12, int(columns * wide / 0.094))) if title else ""
    head = 0.17 + 0.19 * len(title.splitlines()) if title else 0.05
    top = np.cumsum([head] + [high + room for room in above])  # of each row, and the end of the last
    figure_width, figure_height, gap = columns * wide + room + 0.05, top[-1] + 0.05, 0.03
    figure = new_figure(figure_width, figure_height)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, figure_width), ylim=(0, figure_height))  # one for all, in inches: fast
    axes.set_axis_off()
    boxes = []
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        left, bottom = room + column * wide + gap, figure_height - top[row + 1] + gap
        boxes.append((left, left + wide - 2 * gap, bottom, bottom + high - 2 * gap))
        axes.add_image(_image(axes, image, boxes[-1]))
        if titles[i]:
            axes.text(sum(boxes[-1][:2]) / 2, boxes[-1][3] + 3 / 72, titles[i], fontsize=9, ha="center", va="baseline")
    axes.add_collection(_frames(boxes), autolim=False)
    for row, label in enumerate(labels):
        middle = figure_height - top[row + 1] + high / 2
        figure.text((room - 0.06) / figure_width, middle / figure_height, label, fontsize=9, ha="right", va="center")
    if title:
        figure.suptitle(title, fontsize=12, y=1 - 0.08 / figure_height, va="top")
    return _finish(figure, path)


def denoising_strip(states, times=None, samples=6, columns=10, path=None, title=None):
    """How samples came out of noise: one sample a row, time from left to right.   ->   Figure

    states: the x (or x0) of each step, a list of (B, H, W, C); columns of them are picked, evenly, first and last always
    times: the t of each state, written above its column; samples: how many rows
    """
    states = list(states)
    if not states:
        raise ValueError("states: got none, expected the images of at least one step")
    picked = np.unique(np.linspace(0, len(states) - 1, min(columns, len(states))).round().astype(int))
    rows = min(samples, len(states[0]))
    images = np.stack([batch(states[i])[:rows] for i in picked], axis=1)  # (rows, columns, H, W, C)
    labels = None
    if times is not None:
        labels = [f"t = {times[i]:g}" for i in picked] + [""] * (len(picked) * (rows - 1))
    flat = images.reshape(-1, *images.shape[2:])
    return show_grid(flat, columns=len(picked), titles=labels, path=path, title=title)


def plot_points(points, labels=None, path=None, title=None, limit=2.4):
    """Points in the plane, coloured by label.   points (N, 2), labels (N,) or None   ->   Figure"""
    points = to_numpy(points)
    warn_not_finite(points, "points", "left out")
    figure = new_figure(4.2, 4.2 + (0.3 if title else 0), "tight")
    axes = figure.add_subplot()
    colours = COLOURS[0] if labels is None else [COLOURS[int(i) % len(COLOURS)] for i in to_numpy(labels)]
    axes.scatter(points[:, 0], points[:, 1], s=3, c=colours, alpha=0.6, linewidths=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    _style(axes, title)
    return _finish(figure, path)


def plot_loss(losses, steps=None, path=None, title="Training loss", log=True):
    """A loss curve, raw and smoothed.   losses: numbers by step, or {name: numbers} for several curves   ->   Figure

    steps: the step of each number (default 1, 2, ...); log: logarithmic height
    """
    curves = losses if isinstance(losses, dict) else {"": losses}
    figure = new_figure(6.4, 3.8, "tight")
    axes = figure.add_subplot()
    for (name, values), colour in zip(curves.items(), COLOURS * (1 + len(curves) // len(COLOURS)), strict=False):
        values = np.asarray(values, dtype=np.float64)
        warn_not_finite(values, f"losses{' of ' + name if name else ''}", "left out")
        x = np.arange(1, len(values) + 1) if steps is None else np.asarray(steps)[: len(values)]
        smooth = _smooth(values)
        if len(values) > 50:
            axes.plot(x, values, color=colour, alpha=0.22, linewidth=0.8)
        axes.plot(x, smooth if len(values) > 50 else values, color=colour, linewidth=1.8, label=name or None)
    if log and all((np.asarray(values) > 0).all() for values in curves.values()):
        axes.set_yscale("log")
        for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            which(_plain_number)
    axes.set(xlabel="step", ylabel="loss")
    _style(axes, title, legend=len(curves) > 1)
    return _finish(figure, path)


def plot_schedule(*schedules, path=None):
    """alpha_bar and the signal-to-noise ratio against t, for several schedules.   schedules: Schedule objects   ->   Figure"""
    if not schedules:
        raise ValueError("schedules: got none, expected at least one Schedule")
    figure = new_figure(9.0, 3.6, "tight")
    left, right = figure.subplots(1, 2)
    for schedule, colour in zip(schedules, COLOURS * (1 + len(schedules) // len(COLOURS)), strict=False):
        t = np.arange(schedule.T) / max(schedule.T - 1, 1)
        label = f"{schedule.name}, T = {schedule.T}"
        left.plot(t, schedule.alpha_bar, color=colour, linewidth=1.8, label=label)
        noise = 1 - schedule.alpha_bar
        shown = schedule.alpha_bar > 0  # zero-terminal-SNR schedules end at 0, which has no logarithm
        right.plot(t[shown], schedule.alpha_bar[shown] / noise[shown], color=colour, linewidth=1.8, label=label)
    left.set(xlabel="t / (T - 1)", ylabel=r"$\bar\alpha_t$", ylim=(-0.02, 1.02))
    right.set(xlabel="t / (T - 1)", ylabel=r"SNR = $\bar\alpha_t / (1 - \bar\alpha_t)$", yscale="log")
    _style(left, "Share of signal", legend=True)
    _style(right, "Signal to noise")
    return _finish(figure, path)


def new_figure(width, height, layout=None):
    """An empty matplotlib Figure, in inches, that belongs to no window and draws itself in a notebook."""
    if layout == "tight":
        from matplotlib.layout_engine import TightLayoutEngine

        layout = TightLayoutEngine(rect=None)  # with a rect, even the whole figure, it measures every text a second time
    return _figure_class()(figsize=(width, height), dpi=120, layout=layout)


# ---- inside ----------------------------------------------------------------------------------------------------------


@cache
def _figure_class():
    from matplotlib import rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self):  # what Jupyter asks an object for without a pyplot setup
            buffer, dpi, asked = io.BytesIO(), self.dpi, rcParams["savefig.dpi"]
            self.dpi = dpi if asked == "figure" else asked
            try:
                FigureCanvasAgg(self).print_png(buffer)  # savefig would draw a figure with a layout twice
            finally:
                self.dpi = dpi
            return buffer.getvalue()

    return NotebookFigure


def _image(axes, image, box):
    from matplotlib.image import AxesImage

    made = AxesImage(axes, extent=box, origin="upper", interpolation="nearest")
    made.set_data(image.repeat(3 // image.shape[-1], axis=-1))  # red, green, blue: no colour map has to be looked up
    return made


def _frames(boxes):
    """Thin grey lines, so that one sees where a white image ends on white paper."""
    from matplotlib.collections import PolyCollection

    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, x1, y0, y1 in boxes]
    return PolyCollection(corners, facecolors="none", edgecolors="#ced4da", linewidths=0.5)


def _style(axes, title=None, legend=False):
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dee2e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)
    if title:
        axes.set_title(title, fontsize=11)
    if legend:
        axes.legend(frameon=False, fontsize=9)


def _plain_number(value, _position=None):
    """0.3 in place of 3 x 10^-1, and of the marks of a logarithmic axis only 1, 2, 3 and 5."""
    return f"{value:g}" if f"{value:.0e}"[0] in "1235" else ""


def _smooth(values, share=0.03):
    """Running mean of the finite values over about a thirtieth of the curve, of what has been seen so far at the start."""
    width, finite = max(1, int(len(values) * share)), np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - width, 0)
    with np.errstate(invalid="ignore"):  # NaN where the window has no finite value
        return (total[end] - total[start]) / (count[end] - count[start])


def _finish(figure, path):
    if path is not None:
        kind, buffer = Path(path).suffix.lstrip(".") or "png", io.BytesIO()
        if kind != "png":
            figure.savefig(buffer, format=kind)
        write_whole(path, [figure._repr_png_() if kind == "png" else buffer.getvalue()])
    return figure

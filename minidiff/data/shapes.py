"""Renders coloured shapes on white, the images of the text-to-image data set.

A scene has up to three objects. Lengths are fractions of the image width; x runs right and y down from the top left corner.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
SIZES = ("small", "large")
RADIUS = (0.13, 0.19)  # half the width of a thing, by size
MOST = 3  # things in a scene
PALETTE = np.array(  # (6, 3), values in [-1, 1] like every image
    [(220, 50, 47), (40, 160, 70), (40, 90, 220), (250, 200, 30), (150, 60, 180), (40, 40, 40)], dtype=np.float32
) / np.float32(127.5) - np.float32(1)
BACKGROUND = np.ones(3, dtype=np.float32)


class Thing(NamedTuple):
    """One object in an image; shape, colour and size are words, x and y its centre."""

    shape: str
    colour: str
    size: str
    x: float
    y: float


@dataclass(frozen=True)
class Scenes:
    """N scenes as arrays (N, MOST). shape, colour, size are indices into SHAPES, COLOURS, SIZES; shape -1 is no object."""

    shape: np.ndarray
    colour: np.ndarray
    size: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray

    def __len__(self):
        return len(self.shape)

    def things(self, i):
        """The things of scene i, a list of Thing."""
        columns = (self.shape[i], self.colour[i], self.size[i], self.x[i], self.y[i])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [Thing(SHAPES[s], COLOURS[c], SIZES[z], x, y) for s, c, z, x, y in rows if s >= 0]


def scene(*things):
    """One scene of Things, as Scenes of length 1."""
    if not 1 <= len(things) <= MOST:
        raise ValueError(f"things: got {len(things)}, expected 1 to {MOST}")
    words = {"shape": SHAPES, "colour": COLOURS, "size": SIZES}
    for thing in things:
        for field, known in words.items():
            if getattr(thing, field) not in known:
                raise ValueError(f"{field}: got {getattr(thing, field)!r}, expected one of {', '.join(known)}")
    shape, colour, size = (_slots([known.index(getattr(t, field)) for t in things], -1) for field, known in words.items())
    x, y = _slots([t.x for t in things], 0.5), _slots([t.y for t in things], 0.5)
    return Scenes(shape, colour, size, x, y, np.array(RADIUS)[size])


def render(scenes, size=16, subrows=8):
    """Draw scenes.   ->   float32 in [-1, 1] (N, size, size, 3)

    Edges are anti-aliased: each pixel shows the share that an object covers, exact along a row and averaged over
    `subrows` lines across it. Raises ValueError for a size below 8, where a small object has no recognisable shape.
    """
    if not isinstance(size, (int, np.integer)) or size < 8:
        raise ValueError(f"size: got {size!r}, expected a whole number of pixels, at least 8")
    images = np.empty((len(scenes), size, size, 3), dtype=np.float32)
    for start in range(0, len(scenes), 1000):  # the working arrays of a thousand scenes stay in a few tens of MB
        part = slice(start, start + 1000)
        picture = np.broadcast_to(BACKGROUND, images[part].shape).copy()
        for k in range(MOST):
            thing = (scenes.shape[part, k], scenes.x[part, k], scenes.y[part, k], scenes.radius[part, k])
            covered = coverage(*thing, size, subrows)[..., None]  # (n, size, size, 1)
            picture += covered * (PALETTE[scenes.colour[part, k]][:, None, None] - picture)
        images[part] = picture
    return images


def coverage(shape, x, y, radius, size, subrows=8):
    """The share of each pixel that an object covers, 0 to 1.

    four arrays (n,), shape -1 covers nothing   ->   float32 (n, size, size)

    On any horizontal line each of the shapes is one span, x - w to x + w, so the covered part of a pixel is the overlap
    of two intervals.
    """
    shape, x, y, radius = (np.asarray(a)[:, None] for a in (shape, x, y, radius))  # (n, 1)
    line = (np.arange(size * subrows) + 0.5) / (size * subrows)
    v = (line - y) / radius  # (n, lines): -1 at the top of the thing, 1 at its bottom
    half = np.select(
        [shape == 0, shape == 1, shape == 2, shape == 3],
        [np.sqrt(np.maximum(1 - v * v, 0)), 1.0, (v + 1) / 2, np.where(np.abs(v) < 1 / 3, 1, 1 / 3)],
        0.0,
    )
    half = np.where(np.abs(v) <= 1, half, 0) * radius  # (n, lines): half the span's width
    left = ((x - half) * size).astype(np.float32)[..., None]  # (n, lines, 1), in pixels
    right = ((x + half) * size).astype(np.float32)[..., None]
    pixel = np.arange(size, dtype=np.float32)
    overlap = np.minimum(right, pixel + 1) - np.maximum(left, pixel)  # (n, lines, size)
    np.maximum(overlap, 0, out=overlap)
    return overlap.reshape(-1, size, subrows, size).mean(axis=2)


def _slots(values, empty):
    """(1, MOST): the values, then as many empty ones as are missing."""
    return np.array([values + [empty] * (MOST - len(values))])

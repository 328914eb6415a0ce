"""Detects the objects in an image of shapes, to score text-to-image models.

The checker knows how objects are rendered. It repeatedly finds the template that explains most of the image, fits it to an
eighth of a pixel and subtracts it. On images of the data set with mild noise and blur it makes no mistake
(tests/data/test_checker.py: 10,000 images). An image with content that fits no template is unclear and satisfies no caption.
"""

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from ..backend import to_numpy
from .captions import Caption, parse, true_captions
from .shapes import BACKGROUND, COLOURS, MOST, PALETTE, RADIUS, SHAPES, SIZES, Thing, coverage

SIDE = 16  # images are resized to this side
HALF = 6  # a patch of 12 x 12 pixels holds the largest thing
INK = PALETTE - BACKGROUND  # (6, 3): the ink of each colour: white minus colour
KINDS = [(shape, size) for shape in range(len(SHAPES)) for size in range(len(SIZES))]
# What a fit tries: centres, counted from the corner of the pixel where it starts; scales; blurs. In pixels of SIDE.
COARSE = tuple(np.arange(-5, 6) / 4), (0.93, 1.0, 1.07), (0.0, 0.6)
FINE = tuple(np.arange(-2, 10) / 8), (0.94, 1.0, 1.06), (0.0, 0.35, 0.7)
STRENGTH = (0.88, 1.08)  # range of a template's fitted strength
PALENESS = (0.7, 1.2)  # and of a colour's, while its hue is recognisable
FILLED = 0.5  # an object is detected if a template explains this share of its energy
MISFIT = 0.15  # an image is clear if each object differs from its template by at most this share of that energy,
LEFT_OVER = 0.4  # and no 3 x 3 pixels differ by more, on average, from the detected objects


@dataclass(frozen=True)
class Reading:
    """The objects of an image: a list of Thing, and whether nothing unclear is left."""

    things: list
    clear: bool

    def satisfies(self, caption):
        """Whether the image satisfies a caption (text or Caption): exactly the named objects, and nothing unclear."""
        caption = caption if isinstance(caption, Caption) else parse(caption)
        return self.clear and caption.holds(self.things)

    def captions(self):
        """Every true caption as text, the most specific first; none for an unclear image."""
        return [str(caption) for caption in true_captions(self.things)] if self.clear else []


def check(images, captions):
    """Which images satisfy their captions.   images (N, H, W, 3) in [-1, 1], N captions   ->   bool (N,)"""
    captions = [caption if isinstance(caption, Caption) else parse(caption) for caption in captions]
    if len(captions) != len(images):
        raise ValueError(f"captions: got {len(captions)}, expected one for each of {len(images)} images")
    return np.array([reading.satisfies(c) for reading, c in zip(read(images), captions, strict=True)], dtype=bool)


def read(images):
    """Detect the objects of each image.   images: floats in [-1, 1] (N, H, W, 3), H = W, on either device   ->   N Readings

    Takes about 1 to 2 ms per image. Raises ValueError for another shape or type.
    """
    images = to_numpy(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.shape[1] != images.shape[2] or images.dtype.kind != "f":
        raise ValueError(f"images: got {images.dtype} {images.shape}, expected floats (N, H, W, 3) with H = W")
    found = []
    for start in range(0, len(images), 500):
        part = np.nan_to_num(images[start : start + 500].astype(np.float32)).clip(-1.5, 1.5)
        found += _read(_resize(part) - BACKGROUND)
    return found


def _read(ink):
    """ink: how far each pixel is from white, (n, 16, 16, 3)   ->   n Readings"""
    n = len(ink)
    there, misfit = np.zeros((n, MOST), bool), np.zeros((n, MOST))
    colour, kind = np.zeros((n, MOST), int), np.zeros((n, MOST), int)
    centre = np.zeros((n, MOST, 2))  # y, x in pixels
    cover = np.zeros((n, MOST, SIDE, SIDE), np.float32)

    def put(rows, k, ink, template, start, grid):
        colour[rows, k] = _colour_of(ink, template)
        fit = _fit(ink, colour[rows, k], start, grid)
        kind[rows, k], centre[rows, k], cover[rows, k], misfit[rows, k] = fit.kind, fit.centre, fit.cover, fit.misfit
        return fit.explained >= FILLED

    rows = np.arange(n)
    for k in range(MOST):  # the largest first, until none is left
        left = ink[rows] - _painted(cover[rows], colour[rows])
        found = put(rows, k, left, *_anywhere(_cover(left)), COARSE)
        cover[rows[~found], k] = misfit[rows[~found], k] = 0
        rows = rows[found]
        there[rows, k] = True
    for grid in (COARSE, FINE):  # refit each, with all the others subtracted
        for k in range(MOST):
            rows = np.flatnonzero(there[:, k])
            others = cover[rows] * (np.arange(MOST) != k)[:, None, None]
            put(rows, k, ink[rows] - _painted(others, colour[rows]), cover[rows, k], centre[rows, k], grid)

    clear = (misfit <= MISFIT).all(axis=1) & (_largest_patch(ink - _painted(cover, colour)) <= LEFT_OVER)
    things = [[] for _ in range(n)]
    for i, k in zip(*np.nonzero(there), strict=True):
        shape, size = KINDS[kind[i, k]]
        y, x = (centre[i, k] / SIDE).tolist()
        things[i].append(Thing(SHAPES[shape], COLOURS[colour[i, k]], SIZES[size], x, y))
    for found in things:
        found.sort(key=lambda thing: thing.x + thing.y)  # in reading order, from the top left
    return [Reading(found, bool(all_clear)) for found, all_clear in zip(things, clear, strict=True)]


def _cover(ink):
    """(n, 16, 16, 3) -> (n, 16, 16): how much of its best colour each pixel has, 0 to 1."""
    share = (ink @ INK.T / (INK**2).sum(axis=1)).clip(0, 1)  # (n, 16, 16, 6)
    miss = ((ink[..., None, :] - share[..., None] * INK) ** 2).sum(axis=-1)
    return np.take_along_axis(share, miss.argmin(axis=-1)[..., None], axis=-1)[..., 0]


def _anywhere(cover):
    """The template that explains most, over all whole-pixel positions.   ->   it (n, 16, 16), its centre (n, 2) in pixels"""
    bank, places = _board()
    gain = 2 * cover.reshape(-1, SIDE * SIDE) @ bank.T - (bank**2).sum(axis=1)  # (n, templates)
    best = gain.argmax(axis=1)
    return bank[best].reshape(-1, SIDE, SIDE), places[best]


def _colour_of(ink, template):
    """The colour of what a template covers: least squares, then the nearest of the palette.   ->   (n,)"""
    have = (template[..., None] * ink).sum(axis=(1, 2)) / (template**2).sum(axis=(1, 2))[:, None]  # (n, 3)
    strength = (have @ INK.T / (INK**2).sum(axis=1)).clip(*PALENESS)[..., None]  # (n, 6, 1)
    return ((have[:, None] - strength * INK) ** 2).sum(axis=-1).argmin(axis=1)


class Fit(NamedTuple):
    kind: np.ndarray  # (n,) index into KINDS
    centre: np.ndarray  # (n, 2) y, x in pixels
    cover: np.ndarray  # (n, 16, 16)
    explained: np.ndarray  # (n,) what the template explains and
    misfit: np.ndarray  # (n,) the remaining error, as shares of its energy


def _fit(ink, colour, start, grid):
    """The best template near a place: kind, scale, blur, strength and centre together."""
    bank, kinds, offsets = _patches(*grid)
    n, paint = len(ink), INK[colour][:, None, None]
    paint_power = (paint**2).sum(axis=-1)  # (n, 1, 1)
    share = (ink * paint).sum(axis=-1) / paint_power  # (n, 16, 16): how much of this colour
    corner = np.floor(start).astype(int)
    padded = np.pad(share, ((0, 0), (HALF, HALF), (HALF, HALF)))
    window = np.arange(2 * HALF)  # from 6 pixels before the corner to 6 after
    where = np.arange(n)[:, None, None], corner[:, :1, None] + window[:, None], corner[:, 1:, None] + window
    patch = padded[where].reshape(n, 4 * HALF * HALF)  # (n, 144)
    power = (bank**2).sum(axis=1)
    match = patch @ bank.T  # (n, templates)
    strength = (match / power).clip(*STRENGTH)
    gain = 2 * strength * match - strength**2 * power  # by how much the squared error falls
    best = gain.argmax(axis=1)
    strength, gain = strength[np.arange(n), best], gain[np.arange(n), best]
    cover = np.zeros_like(padded)
    cover[where] = (strength[:, None] * bank[best]).reshape(n, 2 * HALF, 2 * HALF)
    # The median of a squared normal number is 0.455. The part of the error that noise causes is subtracted.
    noise = np.median(ink.reshape(n, 3 * SIDE * SIDE) ** 2, axis=1) / 0.455 / paint_power[:, 0, 0]
    wrong = (patch**2).sum(axis=1) - gain - noise * patch.shape[1]
    inner = cover[:, HALF:-HALF, HALF:-HALF]
    return Fit(kinds[best], corner + offsets[best], inner, gain / power[best], wrong / power[best])


def _painted(cover, colour):
    """Covers (n, MOST, 16, 16) in their colours (n, MOST)   ->   ink (n, 16, 16, 3)"""
    return np.einsum("nkhw,nkc->nhwc", cover, INK[colour], optimize=True)


def _largest_patch(ink):
    """(n, 16, 16, 3) -> (n,): the length of the mean ink of 3 x 3 neighbouring pixels, where it is longest."""
    sums = ink[:, :-2] + ink[:, 1:-1] + ink[:, 2:]
    mean = (sums[:, :, :-2] + sums[:, :, 1:-1] + sums[:, :, 2:]) / 9  # (n, 14, 14, 3)
    return np.sqrt((mean**2).sum(axis=-1)).max(axis=(1, 2))


def _resize(images):
    """(n, H, H, 3) -> (n, 16, 16, 3), each new pixel the mean of the area it covers."""
    side = images.shape[1]
    if side == SIDE:
        return images
    edge, old = np.arange(SIDE + 1) * side / SIDE, np.arange(side)
    overlap = np.minimum(edge[1:, None], old + 1) - np.maximum(edge[:-1, None], old)
    weight = (overlap.clip(0) * SIDE / side).astype(np.float32)  # (16, H)
    return np.einsum("ih,jw,nhwc->nijc", weight, weight, images, optimize=True)


@cache
def _board():
    """Every kind at every whole-pixel position: templates (m, 256), centres (m, 2) as (y, x) in pixels."""
    at = np.arange(2, SIDE - 1)
    kind, y, x = (a.ravel() for a in np.meshgrid(range(len(KINDS)), at, at, indexing="ij"))
    shape, size = np.array(KINDS)[kind].T
    sharp = coverage(shape, x / SIDE, y / SIDE, np.array(RADIUS)[size], SIDE)
    bank = _blur(sharp, 0.5)  # tolerates half a pixel
    return bank.reshape(len(bank), -1), np.stack([y, x], axis=1).astype(float)


@cache
def _patches(steps, scales, blurs):
    """Every kind, scale, blur and centre: templates (m, 144) on a patch, kinds (m,), centres (m, 2) from its middle."""
    kind, scale, y, x = (a.ravel() for a in np.meshgrid(range(len(KINDS)), scales, steps, steps, indexing="ij"))
    shape, size = np.array(KINDS)[kind].T
    wide = 2 * HALF
    sharp = coverage(shape, (x + HALF) / wide, (y + HALF) / wide, np.array(RADIUS)[size] * scale * SIDE / wide, wide)
    bank = np.concatenate([_blur(sharp, sigma) for sigma in blurs])
    return bank.reshape(len(bank), -1), np.tile(kind, len(blurs)), np.tile(np.stack([y, x], axis=1), (len(blurs), 1))


def _blur(images, sigma):
    """Gaussian blur of (n, H, W), sigma in pixels."""
    if sigma == 0:
        return images
    at = np.arange(images.shape[1])
    weight = np.exp(-((at[:, None] - at) ** 2) / (2 * sigma**2)).astype(np.float32)
    weight /= weight.sum(axis=1, keepdims=True)
    blurred = np.einsum("ih,jw,nhw->nij", weight, weight, images, optimize=True)
    return np.where(blurred < 1e-12, np.float32(0), blurred)  # subnormal tails slow a matrix product down thirtyfold

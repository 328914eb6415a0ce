"""Captioned shapes: an endless stream of generated images and captions, each batch a pure function of the random generator."""

import numpy as np

from ..rng import as_rng
from .captions import HELD_OUT, POSITIONS, RELATIONS, Caption, Phrase
from .shapes import COLOURS, MOST, RADIUS, SHAPES, SIZES, Scenes, render

KINDS = ("single", "position", "relation", "count")
MARGIN = 0.02  # margin along the edges of the image
GAP = 0.08  # smallest gap between two objects: 1.3 pixels of 16
CLASSES = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
_RANGES = ((None, 0.38), (0.45, 0.55), (0.62, None))  # of a coordinate in the first, middle and last third


def captioned_shapes(n, size=16, rng=None, split="train", kinds=KINDS, detail=0.8):
    """Generate n captioned images.   ->   images float32 in [-1, 1] (n, size, size, 3), captions: n strings

    rng     None, a seed, or a generator: with Rng(seed, stream, step) a training step can be repeated exactly
    split   "train" excludes the pairs in captions.HELD_OUT; every object of a "test" image is one of them (except the
            second of a relation); "all" draws from all pairs
    kinds   kinds of caption, equally likely: "single" object, with its "position", "relation" of two, "count" of two or three
    detail  probability that a colour is named, and that a size is
    """
    scenes, captions = draw_scenes(n, rng, split, kinds, detail)
    return render(scenes, size), [str(caption) for caption in captions]


def classified_shapes(n, size=16, rng=None):
    """n images of one object each, all pairs of colour and shape equally often, for class-conditional models.

    ->   images float32 in [-1, 1] (n, size, size, 3), labels int64 (n,) into CLASSES ("red circle", ...)
    """
    scenes, _ = draw_scenes(n, rng, split="all", kinds=("single",))
    return render(scenes, size), scenes.colour[:, 0] * len(SHAPES) + scenes.shape[:, 0]


def draw_scenes(n, rng=None, split="train", kinds=KINDS, detail=0.8):
    """n scenes and a true caption for each, before rendering.   ->   Scenes, list of Caption"""
    for name, value, known in (("split", split, ("train", "test", "all")), *(("kinds", kind, KINDS) for kind in kinds)):
        if value not in known:
            raise ValueError(f"{name}: got {value!r}, expected {' or '.join(map(repr, known))}")
    rng = as_rng(rng)
    kind = np.array([KINDS.index(k) for k in kinds])[rng.integers(len(kinds), size=n)]
    colour, shape = _draw_pairs(n, rng, split, kind)
    named = rng.random((n, 4)) < detail  # colour of the first, size of the first, colour and size of the second
    size = rng.integers(len(SIZES), size=(n, MOST))
    is_count = kind == KINDS.index("count")
    size = np.where((is_count & named[:, 1])[:, None], size[:, :1], size)  # "two small ..." are both small
    count = np.select([kind == 2, is_count], [2, 2 + rng.integers(2, size=n)], 1)
    shape = np.where(np.arange(MOST) < count[:, None], shape, -1)
    radius = np.array(RADIUS)[size] * (0.95 + 0.1 * rng.random((n, MOST), np.float64))

    choice = rng.integers(36, size=n)  # 36 is a multiple of 4 relations and of 9 positions
    phrases, names = list(POSITIONS), (COLOURS, SHAPES, SIZES)
    x, y = _place_single(radius, _cells(kind, choice, rng), rng)
    for rows, place in ((kind == 2, _place_pair), (is_count, _place_many)):
        x[rows], y[rows] = place(radius, choice, rng, rows)

    captions = []
    attributes = zip(*(a.tolist() for a in (kind, colour, shape, size, named, choice, count)), strict=True)
    for k, c, s, z, mention, pick, many in attributes:
        first, second = (
            Phrase(names[1][s[i]], names[0][c[i]] if mention[2 * i] else None, names[2][z[i]] if mention[2 * i + 1] else None)
            for i in (0, 1)
        )
        if KINDS[k] == "relation":
            captions.append(Caption(first, relation=RELATIONS[pick % 4], second=second))
        else:
            captions.append(Caption(first, many, phrases[pick % 9] if KINDS[k] == "position" else None))
    return Scenes(shape, colour, size, x, y, radius), captions


def _draw_pairs(n, rng, split, kind):
    """Colour and shape of each object, (n, MOST) each, from the pairs that the split allows."""
    every = [(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))]
    held = [(COLOURS.index(c), SHAPES.index(s)) for c, s in HELD_OUT]
    pairs = np.array({"train": [p for p in every if p not in held], "test": held, "all": every}[split])
    drawn = pairs[rng.integers(len(pairs), size=(n, MOST))]  # (n, MOST, 2)
    if split == "test":  # the second of a relation may be any object
        drawn[:, 1] = np.array(every)[rng.integers(len(every), size=n)]
    drawn = np.where((kind == KINDS.index("count"))[:, None, None], drawn[:, :1], drawn)  # counted objects are equal
    return drawn[..., 0], drawn[..., 1]


def _cells(kind, choice, rng):
    """(n, 2): row and column of a single object, 0 to 2, from the caption's position; random without one."""
    said = np.array([[-1 if part is None else part for part in cell] for cell in POSITIONS.values()])[choice % 9]
    free = rng.integers(3, size=said.shape)
    return np.where((kind == KINDS.index("position"))[:, None] & (said >= 0), said, free)


def _place_single(radius, cells, rng):
    """x and y (n, MOST) of single objects, in the first slot, well inside their cell."""
    low = np.array([0 if a is None else a for a, _ in _RANGES])[cells]
    high = np.array([1 if b is None else b for _, b in _RANGES])[cells]
    edge = MARGIN + radius[:, :1]
    low, high = np.maximum(low, edge), np.minimum(high, 1 - edge)
    at = low + (high - low) * rng.random(low.shape, np.float64)  # (n, 2): y, x
    x, y = np.full(radius.shape, 0.5), np.full(radius.shape, 0.5)
    x[:, 0], y[:, 0] = at[:, 1], at[:, 0]
    return x, y


def _place_pair(radius, choice, rng, rows):
    """Two objects, the first above, below, left or right of the second, closer to that axis than to the diagonal."""
    first, second = radius[rows, 0], radius[rows, 1]
    name = choice[rows] % 4
    swap = name % 2 == 1  # "below" and "right of" put the second object first along the axis
    a, b = np.where(swap, second, first), np.where(swap, first, second)
    cuts = np.sort(rng.random((len(a), 2), np.float64), axis=1)  # distribution of the free space: before, between, after
    spare = 1 - 2 * MARGIN - 2 * a - 2 * b - GAP
    along_a = MARGIN + a + cuts[:, 0] * spare
    apart = a + b + GAP + (cuts[:, 1] - cuts[:, 0]) * spare
    u = rng.random((2, len(a)), np.float64)
    across_a = (MARGIN + a) + u[0] * (1 - 2 * (MARGIN + a))
    low, high = np.maximum(across_a - 0.6 * apart, MARGIN + b), np.minimum(across_a + 0.6 * apart, 1 - MARGIN - b)
    across_b = low + u[1] * (high - low)
    along, across = np.stack([along_a, along_a + apart], axis=1), np.stack([across_a, across_b], axis=1)  # (m, 2)
    along, across = (np.where(swap[:, None], v[:, ::-1], v) for v in (along, across))
    vertical = (name < 2)[:, None]
    pad = np.full((len(a), MOST - 2), 0.5)
    return tuple(np.concatenate([np.where(vertical, *v), pad], axis=1) for v in ((across, along), (along, across)))


def _place_many(radius, choice, rng, rows):
    """Up to three objects in different quarters of the image."""
    m = int(rows.sum())
    quarter = np.argsort(rng.random((m, 4), np.float64), axis=1)[:, :MOST]  # (m, MOST)
    room = 0.26 - MARGIN - np.maximum(radius[rows], RADIUS[0]) - 0.02
    shift = np.minimum(np.maximum(room, 0.01), 0.08)[..., None] * (2 * rng.random((m, MOST, 2), np.float64) - 1)
    return 0.24 + 0.52 * (quarter % 2) + shift[..., 0], 0.24 + 0.52 * (quarter // 2) + shift[..., 1]

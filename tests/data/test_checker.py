import dataclasses
from itertools import permutations

import numpy as np
import pytest

from minidiff.data import checker
from minidiff.data.captioned import draw_scenes
from minidiff.data.captions import COUNTS, POSITIONS, RELATIONS, Caption, Phrase
from minidiff.data.shapes import COLOURS, PALETTE, SHAPES, SIZES, Thing, render, scene
from minidiff.rng import Rng


def blur(images, sigma):
    """Gaussian blur; sigma (n,) in pixels."""
    at = np.arange(images.shape[1])
    weight = np.exp(-((at[:, None] - at) ** 2) / (2 * np.maximum(sigma, 1e-3)[:, None, None] ** 2))
    weight /= weight.sum(axis=2, keepdims=True)
    return np.einsum("nih,njw,nhwc->nijc", weight, weight, images, optimize=True)


def spoil(images, rng):
    """Mild blur, 0 to half a pixel of 16, and mild noise, deviation 0 to 0.06 of a range of 2: both random by picture."""
    n, side = images.shape[:2]
    images = blur(images, rng.random(n, np.float64) * 0.5 * side / 16)
    noise = 0.06 * rng.random((n, 1, 1, 1), np.float64) * rng.standard_normal(images.shape, np.float64)
    return (images + noise).astype(np.float32)


def agree(scenes, readings, caps):
    """The pictures in which not every thing is found, with its place to 0.6 pixel of 16, or something else is."""
    wrong = []
    for i, reading in enumerate(readings):
        true = scenes.things(i)
        pairs = (zip(order, true, strict=True) for order in permutations(reading.things) if len(order) == len(true))
        found = any(
            all(a[:3] == b[:3] and abs(a.x - b.x) < 0.0375 and abs(a.y - b.y) < 0.0375 for a, b in pair) for pair in pairs
        )
        if not (found and reading.clear and reading.satisfies(caps[i])):
            wrong.append((i, str(caps[i]), true, reading))
    return wrong


@pytest.mark.slow
def test_no_error_in_ten_thousand_images():
    scenes, caps = draw_scenes(10_000, rng=11, split="all")
    readings = checker.read(spoil(render(scenes), Rng(12)))
    assert agree(scenes, readings, caps) == []


@pytest.mark.parametrize("size", [8 * 3, 32, 50, 64])
def test_other_sizes(size):
    scenes, caps = draw_scenes(200, rng=size, split="all")
    assert agree(scenes, checker.read(spoil(render(scenes, size), Rng(1))), caps) == []


def altered(caption):
    """Every caption that differs from this one in one word's worth."""
    for part in ("first", "second"):
        phrase = getattr(caption, part)
        for field, words in (("shape", SHAPES), ("colour", COLOURS), ("size", SIZES)):
            for word in words if phrase else ():
                if word != getattr(phrase, field):
                    yield dataclasses.replace(caption, **{part: dataclasses.replace(phrase, **{field: word})})
    if caption.relation:
        yield from (dataclasses.replace(caption, relation=r) for r in RELATIONS if r != caption.relation)
    else:
        counts = (n for n in range(1, 1 + len(COUNTS)) if n != caption.count)
        yield from (dataclasses.replace(caption, count=n, position=None) for n in counts)
        yield from (Caption(caption.first, relation=r, second=caption.first) for r in RELATIONS[:2] if caption.count != 2)


def test_every_wrong_word_is_rejected():
    scenes, caps = draw_scenes(1000, rng=3, split="all", detail=1.0)
    readings = checker.read(spoil(render(scenes), Rng(4)))
    asked = {"yes": 0, "no": 0}
    for i, (reading, caption) in enumerate(zip(readings, caps, strict=True)):
        assert reading.satisfies(caption)
        asked["yes"] += 1
        for wrong in altered(caption):
            assert reading.satisfies(wrong) == wrong.holds(scenes.things(i)), (str(caption), str(wrong), reading)
            asked["no"] += not wrong.holds(scenes.things(i))
        if len(reading.things) == 1:
            for position in POSITIONS:
                placed = Caption(caption.first, position=position)
                assert reading.satisfies(placed) == placed.holds(scenes.things(i))
    assert asked["no"] > 10_000


def test_confusion_of_single_things():
    """All 48 kinds in one place: of the 48 full captions each picture satisfies its own and no other."""
    kinds = [(s, c, z) for s in SHAPES for c in COLOURS for z in SIZES]
    images = np.concatenate([render(scene(Thing(*kind, 0.52, 0.47))) for kind in kinds])
    readings = checker.read(images)
    table = np.array([[r.satisfies(Caption(Phrase(*kind))) for kind in kinds] for r in readings])
    np.testing.assert_array_equal(table, np.eye(48, dtype=bool))


def test_its_captions_are_true_and_complete():
    image = render(scene(Thing("circle", "red", "small", 0.25, 0.25), Thing("square", "blue", "large", 0.3, 0.7)))
    (reading,) = checker.read(image)
    said = reading.captions()
    assert said[0] == "a small red circle above a large blue square" and "a square below a circle" in said
    assert len(said) == len(set(said)) == 2 * 16
    assert checker.check(np.concatenate([image, image]), [said[0], "a red circle"]).tolist() == [True, False]
    with pytest.raises(ValueError, match="captions: got 1, expected one for each of 2 images"):
        checker.check(np.concatenate([image, image]), [said[0]])


def draw(inside, colour="red"):
    """A picture of any region of the plane, by 8 x 8 samples a pixel; x and y from -0.5 to 0.5."""
    y, x = (np.mgrid[:128, :128] + 0.5) / 128 - 0.5
    share = inside(x, y).reshape(16, 8, 16, 8).mean(axis=(1, 3))[..., None]
    return (1 + share * (PALETTE[COLOURS.index(colour)] - 1)).astype(np.float32)


STRANGE = {
    "ring": lambda x, y: (np.hypot(x, y) < 0.19) & (np.hypot(x, y) > 0.11),
    "bar": lambda x, y: (abs(x) < 0.19) & (abs(y) < 0.06),
    "upside-down triangle": lambda x, y: (abs(x) < (0.19 - y) / 2) & (abs(y) < 0.19),
    "half a circle": lambda x, y: (np.hypot(x, y) < 0.19) & (x > 0),
    "star": lambda x, y: np.hypot(x, y) < 0.19 * (0.55 + 0.45 * np.cos(5 * np.arctan2(x, -y))),
    "too large": lambda x, y: np.hypot(x, y) < 0.35,
    "too small": lambda x, y: np.hypot(x, y) < 0.06,
    "all over": lambda x, y: x == x,
    "a speck beside a circle": lambda x, y: (np.hypot(x + 0.2, y) < 0.19) | (np.hypot(x - 0.3, y) < 0.07),
    "overlapping": lambda x, y: (np.hypot(x + 0.1, y) < 0.19) | (np.hypot(x - 0.1, y + 0.05) < 0.19),
    "four things": lambda x, y: np.hypot(abs(x) - 0.25, abs(y) - 0.25) < 0.13,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("colour", ["red", "yellow", "black"])
def test_what_is_not_in_the_language_is_unclear(name, colour):
    (reading,) = checker.read(draw(STRANGE[name], colour)[None])
    assert not reading.clear and reading.captions() == []


@pytest.mark.parametrize("grid", [None, checker.COARSE, checker.FINE], ids=["anywhere", "coarse", "fine"])
def test_no_template_holds_a_subnormal_number(grid):
    """Subnormal numbers, in the tails of a blur, make a matrix product many times slower."""
    bank, *_ = checker._board() if grid is None else checker._patches(*grid)
    assert bank.dtype == np.float32 and bank[bank != 0].min() > np.finfo(np.float32).tiny


def test_empty_and_rubbish():
    blank, rubbish = np.ones((1, 16, 16, 3), np.float32), Rng(0).standard_normal((20, 16, 16, 3))
    assert checker.read(blank) == [checker.Reading([], True)] and checker.read(blank)[0].captions() == []
    assert not any(reading.clear for reading in checker.read(rubbish))
    for value in (np.nan, np.inf, -np.inf, -1.0):
        assert not checker.read(np.full_like(blank, value))[0].clear
    for bad in (np.ones((16, 16, 3)), np.ones((1, 16, 17, 3)), np.ones((1, 16, 16, 1)), np.ones((1, 16, 16, 3), int)):
        with pytest.raises(ValueError, match=r"expected floats .N, H, W, 3. with H = W"):
            checker.read(bad)
    assert checker.read(np.ones((0, 16, 16, 3))) == []


def test_small_errors_of_a_model_are_tolerated():
    rng = Rng(8)
    scenes, caps = draw_scenes(300, rng=9, split="all")
    images = render(scenes)
    tinted = (images + 0.05 * rng.standard_normal((300, 1, 1, 3))).clip(-1, 1)
    pale = 1 + (images - 1) * (0.8 + 0.3 * rng.random((300, 1, 1, 1)))
    rough = np.rint(images * 8) / 8
    for changed in (tinted, pale, rough):
        assert agree(scenes, checker.read(changed), caps) == []

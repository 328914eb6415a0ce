import time

import numpy as np
import pytest

from minidiff.data import captioned_shapes, captions, shapes
from minidiff.data.captioned import GAP, KINDS, MARGIN, draw_scenes
from minidiff.data.shapes import BACKGROUND, COLOURS, PALETTE, SHAPES, Thing, render, scene
from minidiff.rng import Rng

AREAS = {"circle": np.pi, "square": 4, "triangle": 2, "cross": 20 / 9}  # of the shape of radius 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [16, 33])
def test_coverage_has_the_area_and_the_centre_of_the_shape(shape, size):
    rng = np.random.default_rng(0)
    n = 20
    x, y, radius = rng.uniform(0.3, 0.7, n), rng.uniform(0.3, 0.7, n), rng.uniform(0.1, 0.25, n)
    covered = shapes.coverage(np.full(n, SHAPES.index(shape)), x, y, radius, size, subrows=64).astype(np.float64)
    assert covered.min() >= 0 and covered.max() <= 1 + 1e-6
    area = covered.sum(axis=(1, 2)) / size**2
    np.testing.assert_allclose(area, AREAS[shape] * radius**2, rtol=0.02)
    middle = (np.arange(size) + 0.5) / size
    close = 0.06 / size  # parts of a pixel: a partly covered one counts at its middle
    np.testing.assert_allclose((covered.sum(axis=1) * middle).sum(axis=1) / covered.sum(axis=(1, 2)), x, atol=close)
    down = radius / 3 if shape == "triangle" else 0  # the centroid of a triangle whose apex is up
    np.testing.assert_allclose((covered.sum(axis=2) * middle).sum(axis=1) / covered.sum(axis=(1, 2)), y + down, atol=close)


def test_an_image_pixel_by_pixel():
    image = render(scene(Thing("square", "blue", "large", 0.5, 0.25)), size=100, subrows=1)[0]
    assert image.dtype == np.float32
    inside = np.zeros((100, 100), bool)
    inside[6:44, 31:69] = True  # 0.25 +- 0.19 down, 0.5 +- 0.19 across
    np.testing.assert_allclose(image[inside], np.broadcast_to(PALETTE[COLOURS.index("blue")], (38 * 38, 3)), atol=1e-5)
    np.testing.assert_allclose(image[~inside], np.broadcast_to(BACKGROUND, (10_000 - 38 * 38, 3)), atol=1e-5)


def test_triangle_points_up_and_cross_has_arms():
    triangle = shapes.coverage([2], [0.5], [0.5], [0.3], 30)[0]
    assert triangle[7:9].sum() < triangle[21:23].sum() / 4
    cross = shapes.coverage([3], [0.5], [0.5], [0.3], 30)[0]
    np.testing.assert_allclose(cross, cross.T, atol=0.1)
    assert cross[8, 8] == 0 and cross[15, 7] > 0.9 and cross[7, 15] > 0.9


def test_scene_and_size_are_checked():
    with pytest.raises(ValueError, match="things: got 0, expected 1 to 3"):
        scene()
    with pytest.raises(ValueError, match="shape: got 'hexagon', expected one of circle, square, triangle, cross"):
        scene(Thing("hexagon", "red", "small", 0.5, 0.5))
    with pytest.raises(ValueError, match="size: got 4, expected a whole number of pixels, at least 8"):
        render(scene(Thing("circle", "red", "small", 0.5, 0.5)), size=4)
    assert scene(Thing("circle", "red", "small", 0.5, 0.5)).things(0) == [Thing("circle", "red", "small", 0.5, 0.5)]


def test_a_batch_is_a_pure_function_of_the_generator():
    images, texts = captioned_shapes(40, rng=Rng(1, stream=2, step=3))
    again, same = captioned_shapes(40, rng=Rng(1, stream=2, step=3))
    np.testing.assert_array_equal(images, again)
    assert texts == same and images.shape == (40, 16, 16, 3) and images.dtype == np.float32
    assert texts != captioned_shapes(40, rng=Rng(1, stream=2, step=4))[1]
    assert images.min() >= -1 and images.max() <= 1
    large, texts32 = captioned_shapes(40, size=32, rng=Rng(1, stream=2, step=3))
    assert texts32 == texts
    halved = large.reshape(40, 16, 2, 16, 2, 3).mean(axis=(2, 4))
    assert np.abs(halved - images).max() < 0.2 and np.abs(halved - images).mean() < 2e-3  # the same scenes, but for sub-rows


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_every_caption_is_true_and_every_thing_has_room(split):
    scenes, caps = draw_scenes(4000, rng=5, split=split)
    for i, caption in enumerate(caps):
        assert caption.holds(scenes.things(i)) and captions.parse(str(caption)) == caption
    there = scenes.shape >= 0
    edge = np.minimum(np.minimum(scenes.x, 1 - scenes.x), np.minimum(scenes.y, 1 - scenes.y)) - scenes.radius
    assert edge[there].min() > MARGIN - 1e-9
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = there[:, a] & there[:, b]
        apart = np.maximum(abs(scenes.x[:, a] - scenes.x[:, b]), abs(scenes.y[:, a] - scenes.y[:, b]))
        assert (apart - scenes.radius[:, a] - scenes.radius[:, b])[both].min() > GAP - 1e-9


def test_held_out_pairs_are_held_out():
    held = set(captions.HELD_OUT)
    scenes, _ = draw_scenes(3000, rng=0, split="train")
    seen = {(t.colour, t.shape) for i in range(3000) for t in scenes.things(i)}
    assert not seen & held and len(seen) == 24 - 4
    scenes, _ = draw_scenes(3000, rng=0, split="test")
    assert all({(t.colour, t.shape) for t in scenes.things(i)} & held for i in range(3000))
    scenes, _ = draw_scenes(3000, rng=0, split="test", kinds=("single",))
    assert {(t.colour, t.shape) for i in range(3000) for t in scenes.things(i)} == held


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_and_detail(kind):
    _, caps = draw_scenes(300, rng=0, kinds=(kind,), detail=1.0)
    assert all(c.first.colour and c.first.size for c in caps)
    assert all(
        (c.relation is not None, c.position is not None, c.count > 1)
        == tuple(kind == k for k in ("relation", "position", "count"))
        for c in caps
    )
    if kind == "relation":
        assert {c.relation for c in caps} == set(captions.RELATIONS)
    if kind == "position":
        assert {c.position for c in caps} == set(captions.POSITIONS)
    _, caps = draw_scenes(300, rng=0, kinds=(kind,), detail=0.0)
    assert not any(c.first.colour or c.first.size for c in caps)


def test_bad_options():
    with pytest.raises(ValueError, match="split: got 'valid', expected 'train' or 'test' or 'all'"):
        captioned_shapes(1, split="valid")
    with pytest.raises(ValueError, match="kinds: got 'pair', expected 'single' or"):
        captioned_shapes(1, kinds=("single", "pair"))


def test_ten_thousand_images_take_seconds():
    start = time.process_time()
    captioned_shapes(10_000, rng=0)
    assert time.process_time() - start < 10  # 1.4 s on the machine it was written on

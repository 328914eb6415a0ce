import io

import numpy as np
import pytest

from minidiff import data, files, viz
from minidiff.diffusion.schedule import Schedule

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", "test").images


def test_to_uint8():
    values = np.array([-5, -1, -0.999, 0, 1, 7, np.nan, np.inf], dtype=np.float32)
    with pytest.warns(RuntimeWarning, match="images: 2 of 8 values are NaN or infinite, drawn black or white"):
        np.testing.assert_array_equal(viz.to_uint8(values), [0, 0, 0, 128, 255, 255, 0, 255])
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(viz.to_uint8(levels.astype(np.float32) / 127.5 - 1), levels)  # there and back
    assert viz.to_uint8(levels) is levels
    with pytest.raises(TypeError, match="got int64, expected floats"):
        viz.to_uint8(np.arange(3))


def test_image_grid():
    images = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
    grid = viz.image_grid(images, columns=3)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1, 1)
    np.testing.assert_array_equal(grid[1:3, 1:4, 0], images[0])
    np.testing.assert_array_equal(grid[4:6, 5:8, 0], images[4])
    assert (grid[4:6, 9:12] == 255).all() and (grid[0] == 255).all() and (grid[:, 4] == 255).all()
    white = viz.image_grid(np.ones((2, 4, 4, 3)))
    assert white[0, 0, 0] == 205 and white[1, 1, 0] == 255  # where a white picture ends can be seen
    assert viz.image_grid(np.zeros((2, 4, 4, 3)), gap=0, columns=2).shape == (4, 8, 3)
    for bad in (np.zeros((4, 4)), np.zeros((1, 4, 4, 2)), np.zeros((0, 4, 4, 1))):
        with pytest.raises(ValueError, match=r"images: got shape .*, expected"):
            viz.image_grid(bad)


def test_save_png(tmp_path, digits):
    path = viz.save_png(digits[:6], tmp_path / "new" / "a.png", columns=3, scale=4)
    read = np.array(Image.open(path))
    assert read.shape == (19 * 4, 28 * 4) and list(path.parent.iterdir()) == [path]  # no temporary file left
    np.testing.assert_array_equal(read[::4, ::4], viz.image_grid(digits[:6], columns=3)[..., 0])
    np.testing.assert_array_equal(read[::4], read[3::4])
    colour = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3))
    read = np.array(Image.open(viz.save_png(colour, tmp_path / "b.png")))
    assert read.shape == (640, 640, 3)
    np.testing.assert_array_equal(read[::80, ::80], viz.to_uint8(colour))


def test_a_failed_write_leaves_the_old_file(tmp_path, digits, monkeypatch):
    path = viz.save_png(digits[0], tmp_path / "a.png")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full"):
        viz.save_png(digits[1], path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_save_gif(tmp_path, digits):
    frames = [digits[i : i + 4] for i in range(5)]
    durations = []
    with Image.open(viz.save_gif(frames, tmp_path / "a.gif", fps=10, hold=2.0, columns=4, scale=2)) as film:
        assert film.n_frames == 5 and film.info["loop"] == 0 and film.size == (37 * 2, 10 * 2)
        for i in range(5):
            film.seek(i)
            durations.append(film.info["duration"])
            shown = np.array(film.convert("L"))[::2, ::2].astype(int)
            assert np.abs(shown - viz.image_grid(frames[i], columns=4)[..., 0]).max() <= 2
    assert durations == [100, 100, 100, 100, 2000]
    with pytest.raises(ValueError, match="frames: got none"):
        viz.save_gif([], tmp_path / "b.gif")


def test_figures_write_and_need_no_pyplot(tmp_path, digits):
    import subprocess
    import sys
    from pathlib import Path

    states = [digits[:3] * a for a in np.linspace(0, 1, 30)]
    made = [
        viz.show_grid(digits[:10], columns=5, titles=range(10), title="Digits", path=tmp_path / "grid.png"),
        viz.denoising_strip(states, times=range(30), path=tmp_path / "strip.png"),
        viz.plot_points(*data.load("moons", n=100), path=tmp_path / "points.png"),
        viz.plot_loss(np.linspace(2, 1, 100), path=tmp_path / "loss.png"),
        viz.plot_loss({"a": [1, 2], "b": [0, 1, 2]}, path=tmp_path / "two.png"),
        viz.plot_schedule(Schedule.linear(100), Schedule.cosine(50), path=tmp_path / "schedule.png"),
    ]
    files = sorted(tmp_path.iterdir())
    assert len(files) == len(made) == 6
    for file in files:
        picture = np.array(Image.open(file).convert("L"))
        assert picture.std() > 5 and (picture[[0, -1]] == 255).all() and (picture[:, [0, -1]] == 255).all()  # ink, and a margin
    assert made[0]._repr_png_()[:4] == b"\x89PNG"
    code = "import sys, numpy as np; from minidiff import viz; viz.show_grid(np.zeros((2, 4, 4, 1)), path=sys.argv[1]); \
assert 'matplotlib.pyplot' not in sys.modules"
    root = Path(viz.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.png")], check=True, cwd=root)


def test_strip_shows_first_and_last(digits):
    states = [np.full((2, 4, 4, 1), value) for value in np.linspace(-1, 1, 31)]
    figure = viz.denoising_strip(states, times=list(range(30, -1, -1)), columns=4)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["t = 30", "t = 20", "t = 10", "t = 0"]
    shown = [image.get_array()[0, 0, 0] for image in axes.images]
    assert shown[0] == 0 and shown[3] == 255 and shown[4] == 0
    for text, image in zip(axes.texts, axes.images, strict=False):  # each title stands above its image
        left, right, _, top = image.get_extent()
        assert text.get_position() == pytest.approx(((left + right) / 2, top + 3 / 72))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_image_is_drawn_whole_and_in_its_place(channels):
    """The right values are the images': the middle of each of their pixels, read from the PNG. Figures have 120 dpi."""
    images = np.random.default_rng(0).integers(0, 256, (7, 4, 6, channels), dtype=np.uint8)
    figure = viz.show_grid(images, columns=3, scale=1.0, titles=["a", "", "b", *"cdef"], rows=["x", "y", "z"], title="all")
    png = np.array(Image.open(io.BytesIO(figure._repr_png_())).convert("RGB"))
    boxes = [image.get_extent() for image in figure.axes[0].images]
    for image, (left, right, bottom, top) in zip(images, boxes, strict=True):
        x, y = left + (right - left) * (np.arange(6) + 0.5) / 6, top - (top - bottom) * (np.arange(4) + 0.5) / 4
        read = png[(len(png) - 120 * y).astype(int)][:, (120 * x).astype(int)]
        np.testing.assert_array_equal(read, np.broadcast_to(image, (4, 6, 3)))
    lefts, bottoms = np.array(boxes)[:, 0], np.array(boxes)[:, 2]
    np.testing.assert_allclose(lefts, lefts[0] + np.arange(7) % 3)  # 1 inch each, from left to right
    assert bottoms[0] == bottoms[2] > bottoms[3] == bottoms[5] > bottoms[6]
    grey = np.abs(png.astype(int) - [0xCE, 0xD4, 0xDA]).max(axis=2) <= 40  # the frame of the first image, at its left
    x, y = round(120 * lefts[0]), len(png) - 120 * (boxes[0][2] + boxes[0][3]) / 2
    assert grey[int(y), x - 1 : x + 1].any()


def test_row_labels_stand_left_of_their_rows(digits):
    figure = viz.show_grid(digits[:6], columns=3, rows=["above", "the row that is below"])
    boxes = [image.get_window_extent() for image in figure.axes[0].images]
    assert [label.get_text() for label in figure.texts] == ["above", "the row that is\nbelow"]
    for label, box in zip(figure.texts, boxes[::3], strict=True):
        assert box.y0 < label.get_position()[1] * figure.bbox.height < box.y1
        assert label.get_window_extent().x1 < min(box.x0 for box in boxes)
        assert label.get_window_extent().x0 > 0
    with pytest.raises(ValueError, match="rows: got 1, expected a label for each of 2 rows"):
        viz.show_grid(digits[:6], columns=3, rows=["a"])


def test_bad_titles(digits):
    with pytest.raises(ValueError, match="titles: got 2, expected one for each of 3 images"):
        viz.show_grid(digits[:3], titles=["a", "b"])

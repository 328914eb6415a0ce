import numpy as np
import pytest

from minidiff import data

Image = pytest.importorskip("PIL.Image")


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path, **options)


GREY = np.arange(48).reshape(6, 8) * 5
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def test_flat_folder(tmp_path):
    write(tmp_path / "b.png", COLOUR)
    write(tmp_path / "a.PNG", COLOUR[::-1])
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    images, labels = data.load(tmp_path)
    assert labels is None and images.shape == (2, 6, 8, 3) and images.dtype == np.float32
    np.testing.assert_array_equal(images[1], (COLOUR / 127.5 - 1).astype(np.float32))  # sorted by name
    np.testing.assert_array_equal(images[0], images[1][::-1])
    with pytest.raises(ValueError, match="nothing is held out here"):
        data.load(tmp_path, "test")


def test_grey_stays_grey_until_a_colour_comes(tmp_path):
    write(tmp_path / "a.png", GREY)
    assert data.load(tmp_path).images.shape == (1, 6, 8, 1)
    write(tmp_path / "b.png", COLOUR)
    images = data.load(tmp_path).images
    assert images.shape == (2, 6, 8, 3)
    np.testing.assert_array_equal(images[0], np.repeat((GREY / 127.5 - 1).astype(np.float32)[..., None], 3, axis=-1))


def test_classes_and_split(tmp_path):
    for part, count in (("train", 3), ("test", 1)):
        for name in ("zebra", "ape"):
            for i in range(count):
                write(tmp_path / part / name / f"{i}.jpg", GREY)
    write(tmp_path / "test" / "newt" / "0.jpeg", GREY)
    assert data.info(tmp_path).class_names == ("ape", "newt", "zebra")
    assert data.load(tmp_path).labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert data.load(tmp_path, "test").labels.tolist() == [0, 1, 2]
    assert data.load(tmp_path, "all").labels.tolist() == [0, 0, 0, 2, 2, 2, 0, 1, 2]
    assert data.load(tmp_path / "train").labels.tolist() == [0, 0, 0, 1, 1, 1]
    write(tmp_path / "train" / "loose.png", GREY)
    with pytest.raises(ValueError, match=r"1 images lie beside folders of images .ape, zebra."):
        data.load(tmp_path)


def test_sizes_differ(tmp_path):
    write(tmp_path / "a.png", np.full((6, 8), 40))
    write(tmp_path / "b.png", np.full((20, 10), 80))
    with pytest.raises(ValueError, match=r"a.png is 6 x 8, .*b.png is 20 x 10 .height x width.: give size= to"):
        data.load(tmp_path)
    images = data.load(tmp_path, size=4).images
    assert images.shape == (2, 4, 4, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0], (np.array([40, 80]) / 127.5 - 1).astype(np.float32))
    assert data.load(tmp_path, size=(3, 5)).images.shape == (2, 3, 5, 1)
    for bad in (0, (3,), "big", 2.5):
        with pytest.raises(ValueError, match=r"size: got .*, expected"):
            data.load(tmp_path, size=bad)


def test_the_middle_is_cropped_not_squeezed(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    write(tmp_path / "a.png", wide)
    np.testing.assert_array_equal(data.load(tmp_path, size=10).images, 1)


def test_transparency_palette_and_deep_grey(tmp_path):
    clear = np.dstack([COLOUR, np.zeros((6, 8))]).astype(np.uint8)
    clear[0, 0, 3] = 255
    write(tmp_path / "rgba" / "a.png", clear)
    images = data.load(tmp_path / "rgba").images
    np.testing.assert_array_equal(images[0, 0, 0], (COLOUR[0, 0] / 127.5 - 1).astype(np.float32))
    assert (images[0, 1:] == 1).all()
    (tmp_path / "palette").mkdir()
    Image.fromarray(np.uint8(COLOUR // 64 * 64)).quantize(64).save(tmp_path / "palette" / "a.png")
    assert data.load(tmp_path / "palette").images.shape == (1, 6, 8, 3)
    (tmp_path / "deep").mkdir()
    Image.fromarray((GREY * 257).astype(np.uint16)).save(tmp_path / "deep" / "a.png")
    np.testing.assert_array_equal(data.load(tmp_path / "deep").images[0, ..., 0], (GREY / 127.5 - 1).astype(np.float32))


def test_nothing_and_rubbish(tmp_path):
    with pytest.raises(ValueError, match=r"no image for split 'train': expected files ending in .jpeg, .jpg, .png"):
        data.load(tmp_path)
    write(tmp_path / "good.png", COLOUR)
    content = (tmp_path / "good.png").read_bytes()
    for damaged in (b"", b"rubbish", content[:60]):
        (tmp_path / "good.png").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"good.png: cannot be read as an image"):
            data.load(tmp_path)

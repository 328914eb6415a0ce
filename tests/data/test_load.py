import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minidiff import data
from minidiff.data import checker


def test_digits_are_the_real_ones():
    images, labels = data.load("digits", "all")
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.float32 and labels.dtype == np.int64
    assert images.min() == -1 and images.max() == 1
    np.testing.assert_array_equal(np.unique(images), np.arange(17, dtype=np.float32) / 8 - 1)
    np.testing.assert_array_equal(np.bincount(labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    sklearn = pytest.importorskip("sklearn.datasets")
    original = sklearn.load_digits()
    np.testing.assert_array_equal(images[..., 0], original.images / 8 - 1)
    np.testing.assert_array_equal(labels, original.target)


def test_digits_split_is_balanced_complete_and_fixed():
    train, test, whole = (data.load("digits", split) for split in ("train", "test", "all"))
    assert len(train.images) == 1437 and len(test.images) == 360
    np.testing.assert_array_equal(np.bincount(test.labels), [36] * 10)
    both = np.concatenate([train.images, test.images]).reshape(1797, 64)
    order = np.lexsort(both.T), np.lexsort(whole.images.reshape(1797, 64).T)
    np.testing.assert_array_equal(both[order[0]], whole.images.reshape(1797, 64)[order[1]])
    assert data.load("digits")[0].shape == (1437, 8, 8, 1)
    assert test.labels[:12].tolist() == [1, 4, 5, 9, 3, 7, 4, 8, 5, 5, 0, 8]  # the split that published figures are on


@pytest.mark.parametrize("name", ["moons", "swiss_roll", "checkerboard", "gaussians"])
def test_toys(name):
    points, labels = data.load(name, n=500)
    assert points.shape == (500, 2) and points.dtype == np.float32 and labels.shape == (500,) and labels.dtype == np.int64
    assert np.abs(points).max() < 2.5
    np.testing.assert_array_equal(points, data.load(name, n=500, seed=0).images)
    assert not np.array_equal(points, data.load(name, n=500, seed=1).images)
    test = data.load(name, "test", n=500)
    assert not np.isin(points[:, 0], test.images[:, 0]).any()
    np.testing.assert_array_equal(data.load(name, "all", n=500).images, np.concatenate([points, test.images]))
    assert data.load(name).images.shape == (10_000, 2)


def test_shapes_by_class():
    images, labels = data.load("shapes", n=50)
    assert images.shape == (50, 16, 16, 3) and images.dtype == np.float32 and labels.dtype == np.int64
    assert data.load("shapes", "all", n=20, size=32, seed=3).images.shape == (40, 32, 32, 3)
    names = data.info("shapes").class_names
    assert names[0] == "red circle" and len(names) == 24
    for image, label in zip(images, labels, strict=True):
        (reading,) = checker.read(image[None])
        assert reading.satisfies(f"a {names[label]}")
    with pytest.raises(ValueError, match="size: got 5, expected a whole number of pixels, at least 8"):
        data.load("shapes", size=5)


def test_toys_have_the_documented_shapes():
    points, labels = data.load("checkerboard", n=2000)
    column, row = np.floor(points.astype(np.float64)).astype(int).T + 2
    assert ((column + row) % 2 == 0).all() and len(set(zip(column, row, labels, strict=True))) == 8
    points, labels = data.load("gaussians", n=20_000)
    for k in range(8):
        mine = points[labels == k].astype(np.float64)
        angle = 2 * np.pi * k / 8
        # five standard errors of the mean and of the standard deviation of about 2,500 points
        np.testing.assert_allclose(mine.mean(axis=0), [1.5 * np.cos(angle), 1.5 * np.sin(angle)], atol=5 * 0.1 / 50)
        np.testing.assert_allclose(mine.std(axis=0), 0.1, atol=5 * 0.1 / np.sqrt(2 * 2300))
    points, labels = data.load("moons", n=2000)
    centre = np.where(labels[:, None] == 0, [[-0.5, -0.25]], [[0.5, 0.25]])
    assert np.abs(np.linalg.norm(points - centre, axis=1) - 1).max() < 6 * 0.08


@pytest.mark.parametrize("name, near", [("mnits", "mnist"), ("Fashion_MNIST", "fashion-mnist"), ("cifar-10", "cifar10")])
def test_unknown_name_suggests_the_near_one(name, near):
    with pytest.raises(ValueError, match=f"did you mean {near}.*Known: digits, "):
        data.load(name)


def test_bad_options(tmp_path):
    with pytest.raises(ValueError, match="split: got 'validation', expected one of train, test, all"):
        data.load("digits", "validation")
    with pytest.raises(ValueError, match="size: got 16 for 'digits'"):
        data.load("digits", size=16)
    with pytest.raises(ValueError, match="n: got 5 for 'digits'"):
        data.load("digits", n=5)
    with pytest.raises(ValueError, match="n: got -1, expected a whole number, at least 1"):
        data.load("moons", n=-1)
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(ValueError, match=r"got the file .*, expected a folder"):
        data.load(tmp_path / "file.txt")


def test_info():
    assert data.info("digits").shape == (8, 8, 1) and data.info("cifar10").class_names[3] == "cat"
    assert data.info("digits").sizes == {"train": 1437, "test": 360}
    assert set(data.names()) >= {"digits", "mnist", "fashion-mnist", "cifar10", "moons"}
    with pytest.raises(ValueError, match="did you mean digits"):
        data.info("digit")


def test_import_is_cheap():
    code = "import sys, minidiff.data; print([m for m in ('matplotlib', 'PIL', 'pooch', 'tqdm') if m in sys.modules])"
    root = Path(data.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, env=dict(os.environ))
    assert done.stdout.strip() == "[]", done.stderr

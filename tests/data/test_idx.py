import gzip
import os

import numpy as np
import pytest

from minidiff import data
from minidiff.data import idx


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (2, 3, 5), (1, 2, 3, 4), (0, 4)])
def test_parse(to_idx, dtype, shape):
    array = np.random.default_rng(1).normal(0, 50, shape).astype(dtype)
    read = idx.parse_idx(to_idx(array))
    assert read.dtype == array.dtype and read.dtype.isnative and read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda b: b"", "some.file: the file is empty"),
        (lambda b: b[:3], "some.file: truncated: 3 bytes, an idx header has at least 4"),
        (lambda b: b"\x89PNG" + b[4:], "some.file: wrong magic number 89 50 4e 47, an idx file starts with 00 00"),
        (lambda b: b[:2] + b"\x0a" + b[3:], "some.file: unknown data type 0x0a, expected one of 0x08, 0x09"),
        (lambda b: b[:9], "some.file: truncated: 9 bytes, a header with 3 dimensions has 16"),
        (lambda b: b[:-1], r"some.file: truncated: 59 bytes of numbers, sizes \(3, 4, 5\) of uint8 need 60"),
        (lambda b: b + b"\0", "some.file: too long: 61 bytes of numbers"),
        (lambda b: b[:4] + b"\xff" * 12 + b[16:], "some.file: truncated: 60 bytes of numbers, sizes .4294967295"),
        (lambda b: b"\0\0\x08\0", "some.file: truncated: 4 bytes, a header with 0 dimensions"),
    ],
)
def test_damaged(to_idx, damage, message):
    good = to_idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    with pytest.raises(ValueError, match=message):
        idx.parse_idx(damage(good), "some.file")


@pytest.fixture(params=["plain", "gzip", "other gzip"])
def folder(request, tmp_path, fake_mnist):
    for name, content in fake_mnist.items():
        if request.param == "plain":
            (tmp_path / name).write_bytes(content)
        else:
            level = 9 if request.param == "gzip" else 1
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content, level))
    return tmp_path


def test_folder(folder, fake_mnist):
    images, labels = data.load(folder)
    raw = idx.parse_idx(fake_mnist["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(images, (raw[..., None] / 127.5 - 1).astype(np.float32))
    np.testing.assert_array_equal(labels, idx.parse_idx(fake_mnist["train-labels-idx1-ubyte"]))
    assert images.dtype == np.float32 and labels.dtype == np.int64
    assert data.load(str(folder), "test").images.shape == (8, 6, 5, 1)
    assert data.load(folder, "all").images.shape == (28, 6, 5, 1)
    assert data.info(folder).class_names is None


def test_ends_of_the_range(tmp_path, to_idx):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(np.array([[[0, 255]]], dtype=np.uint8)))
    images, labels = data.load(tmp_path)
    assert images.ravel().tolist() == [-1.0, 1.0] and labels is None
    assert data.load(tmp_path, "all").images.shape == (1, 1, 2, 1)
    with pytest.raises(ValueError, match="no test images among the idx files"):
        data.load(tmp_path, "test")
    with pytest.raises(ValueError, match=r"size: got 32.*idx files"):
        data.load(tmp_path, size=32)


def test_it_is_not_mnist(folder):
    with pytest.raises(ValueError, match=r"train-images.*not the file it claims to be: sha256 .*, expected ba891046"):
        data.load("mnist", root=folder)


def test_fashion_does_not_take_mnist_files(monkeypatch, folder, fake_mnist):
    import hashlib

    from minidiff.data import loader

    assert data.load("fashion-mnist", root=folder).images.shape == (20, 6, 5, 1)
    digest = hashlib.sha256(fake_mnist["t10k-labels-idx1-ubyte"]).hexdigest()
    monkeypatch.setitem(loader.MNIST_SHA256, ("test", "labels"), digest)
    monkeypatch.setattr(loader, "fetch", lambda *a: pytest.fail("asked for the network, as it should"))
    with pytest.raises(pytest.fail.Exception):
        data.load("fashion-mnist", root=folder)


def test_damaged_gzip(tmp_path, fake_mnist):
    packed = gzip.compress(fake_mnist["train-images-idx3-ubyte"])
    for damaged in (packed[: len(packed) // 2], packed[:40] + bytes([packed[40] ^ 255]) + packed[41:]):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz: the gzip data is damaged or truncated"):
            data.load(tmp_path)


def test_counts_and_types_are_checked(tmp_path, to_idx):
    images = np.zeros((4, 3, 3), np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(to_idx(np.zeros(5, np.uint8)))
    with pytest.raises(ValueError, match="5 labels for 4 images"):
        data.load(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(to_idx(np.zeros((4, 1), np.uint8)))
    with pytest.raises(ValueError, match=r"got uint8 \(4, 1\), expected whole numbers \(N,\)"):
        data.load(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images.astype(np.float32)))
    with pytest.raises(ValueError, match=r"got float32 \(4, 3, 3\), expected images uint8"):
        data.load(tmp_path)


@pytest.mark.skipif("MINIDIFF_MNIST" not in os.environ, reason="MINIDIFF_MNIST names no folder with the real files")
def test_real_mnist():
    images, labels = data.load("mnist", "all", root=os.environ["MINIDIFF_MNIST"])
    assert images.shape == (70_000, 28, 28, 1) and labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = (images[:60_000].astype(np.float64) + 1) / 2
    assert abs(pixels.mean() - 0.1307) < 5e-5 and abs(pixels.std() - 0.3081) < 5e-5  # the field's usual constants

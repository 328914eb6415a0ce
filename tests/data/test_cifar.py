import io
import tarfile

import numpy as np
import pytest

from minidiff import data
from minidiff.data import cifar


def record(label, red, green, blue):
    return bytes([label]) + b"".join(plane.astype(np.uint8).tobytes() for plane in (red, green, blue))


@pytest.fixture
def batches():
    """{file: bytes}: two records a file; labels say which."""
    rng = np.random.default_rng(0)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    return {name: b"".join(record(k, *rng.integers(0, 256, (3, 32, 32))) for _ in "ab") for k, name in enumerate(names)}


def archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo("cifar-10-batches-bin/" + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_planes_become_channels():
    row, column = np.mgrid[:32, :32]
    images, labels = cifar.parse_cifar(record(7, row, column, 200 + 0 * row))
    assert labels.tolist() == [7] and labels.dtype == np.int64 and images.dtype == np.uint8
    np.testing.assert_array_equal(images[0, 5, 9], [5, 9, 200])


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_whole_set(tmp_path, batches, form):
    if form == "folder":
        for name, content in batches.items():
            (tmp_path / name).write_bytes(content)
        source = tmp_path
        assert data.load(tmp_path, "test").images.shape == (2, 32, 32, 3)
        assert data.load("cifar10", "all", root=tmp_path).images.shape == (12, 32, 32, 3)
    else:
        source = archive(tmp_path / "cifar-10-binary.tar.gz", dict(reversed(batches.items())))
    images, labels = cifar.read_cifar(source, "train")
    assert images.shape == (10, 32, 32, 3) and labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    np.testing.assert_array_equal(images[2:4], cifar.parse_cifar(batches["data_batch_2.bin"])[0])
    assert cifar.read_cifar(source, "test")[1].tolist() == [5, 5]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "a.bin: the file is empty"),
        (bytes(3073 + 100), "a.bin: truncated or not CIFAR-10: 3173 bytes is no multiple of a record's 3073"),
        (bytes(3073) + b"\x0a" + bytes(3072), "a.bin: not CIFAR-10: image 1 has label 10, expected 0 to 9"),
    ],
)
def test_damaged_batch(content, message):
    with pytest.raises(ValueError, match=message):
        cifar.parse_cifar(content, "a.bin")


def test_damaged_archive(tmp_path, batches):
    path = archive(tmp_path / "a.tar.gz", batches)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"a.tar.gz: not a readable tar archive"):
        cifar.read_cifar(path, "train")
    path.write_bytes(b"not a tar")
    with pytest.raises(ValueError, match=r"a.tar.gz: not a readable tar archive"):
        cifar.read_cifar(path, "train")
    del batches["data_batch_3.bin"]
    with pytest.raises(ValueError, match=r"the archive lacks data_batch_3.bin"):
        cifar.read_cifar(archive(path, batches), "train")
    (tmp_path / "test_batch.bin").write_bytes(batches["test_batch.bin"])
    with pytest.raises(ValueError, match=r"no data_batch_1.bin, "):
        data.load(tmp_path, "train")

"""Files of arrays as they come: the layouts of EMNIST, KMNIST, CIFAR-100 and torchvision, and hostile files.

Expected values are computed by hand from the formats (idx, CIFAR, npy), not by the code under test; limits are
seen to hold by the memory that a refusal takes.
"""

import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from limits import peak_of, time_limit

from minidiff import data
from minidiff.data import cifar, idx


@pytest.fixture(autouse=True)
def half_a_minute():
    with time_limit(30):
        yield


def idx_bytes(array):
    """An array as an idx file, written from the format's description."""
    code = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D}[array.dtype.name]
    header = bytes([0, 0, code, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write_idx(folder, labels, prefix="", split="train", size=(3, 2), packed=False):
    """Images (N, 3, 2) whose pixels count up, and labels.   -> the images"""
    folder.mkdir(parents=True, exist_ok=True)
    images = (np.arange(len(labels) * size[0] * size[1]) % 256).astype(np.uint8).reshape(-1, *size)
    for what, dims, array in (("images", 3, images), ("labels", 1, labels)):
        content = idx_bytes(array)
        name = f"{prefix}{split}-{what}-idx{dims}-ubyte{'.gz' if packed else ''}"
        (folder / name).write_bytes(gzip.compress(content) if packed else content)
    return images


@pytest.mark.parametrize("label, dtype, message", [
    (-1, "int8", "image 2 has label -1, expected class numbers from 0 up"),
    (-(2**31), "int32", "image 2 has label -2147483648, expected class numbers from 0 up"),
    (1_000_000, "int32", "image 2 has label 1000000, but there are only 3 different labels"),
    (1000, "int16", "image 2 has label 1000, but there are only 3 different labels"),
])  # fmt: skip
def test_labels_are_class_numbers(tmp_path, label, dtype, message):
    write_idx(tmp_path, np.array([0, 1, label, 1], dtype))
    with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte: {message}"):
        data.load(tmp_path)


def test_many_classes_are_many_classes(tmp_path):
    write_idx(tmp_path, np.arange(0, 6000, 2).astype(np.int16), size=(1, 1))  # half of them have an example
    assert data.load(tmp_path).labels.max() == 5998


def test_labels_from_one_are_warned_of(tmp_path):
    write_idx(tmp_path, np.array([3, 1, 2], np.uint8))
    with pytest.warns(UserWarning, match="the labels count from 1 to 3, expected them to count from 0: class 0 has no image"):
        assert data.load(tmp_path).labels.tolist() == [3, 1, 2]


@pytest.mark.parametrize("content, message", [
    (bytes(64 * 2**20), "unknown data type 0x00"),
    (b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 5) + bytes(64 * 2**20), "too long: .*, sizes .3, 4, 5. of uint8 need 60"),
    (b"\0\0\x08\x03" + struct.pack(">3I", 3_000_000, 28, 28), "the header promises 2,352,000,000 bytes, sizes .3000000"),
    (b"\0\0\x08\x03" + b"\xff" * 12, "the header promises 79,228,162,"),
    (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "the header has 255 dimensions, expected at most 8"),
])  # fmt: skip
def test_gzip_bombs(tmp_path, content, message):
    """64 MB of zeros stand for the 3 GB that a few MB can hold: what is not promised by the header is not unpacked."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content, 1))
    peak, said = peak_of(lambda: data.load(tmp_path))
    assert re.search(f"train-images-idx3-ubyte.gz: {message}", said) and peak < 6


def test_a_long_plain_file_is_not_read(tmp_path):
    with open(tmp_path / "train-images-idx3-ubyte", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 5))
        file.truncate(3 * 2**30)  # no blocks on the disk
    peak, said = peak_of(lambda: data.load(tmp_path))
    assert "too long: 3221225456 bytes of numbers, sizes (3, 4, 5) of uint8 need 60" in said and peak < 6


@pytest.mark.parametrize("size", [(3, 2), (4, 2**18 + 5)])
def test_damaged_gzip_is_noticed_at_its_end(tmp_path, size):
    """The checksum comes after the last byte that is needed. The second length is a whole number of pieces as they are read."""
    write_idx(tmp_path, np.array([0], np.uint8), packed=True, size=size)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    good = path.read_bytes()
    path.write_bytes(good[:-8] + bytes([good[-8] ^ 1]) + good[-7:])
    with pytest.raises(
        ValueError, match=r"train-images-idx3-ubyte.gz: the gzip data is damaged or truncated .CRC check failed"
    ):
        data.load(tmp_path)


def test_emnist_letters(tmp_path):
    """Labels 1 to 26 are A to Z; the images are stored with rows and columns exchanged (Cohen et al. 2017, NIST's order)."""
    for split, prefix in (("train", "emnist-letters-"), ("test", "emnist-letters-")):
        images = write_idx(tmp_path, np.array([1, 26, 5], np.uint8), prefix, split, packed=True)
    info = data.info(tmp_path)
    assert info.class_names[0] == "A" and info.class_names[25] == "Z" and len(info.class_names) == 26
    for split in ("train", "test"):
        found, labels = data.load(tmp_path, split)
        assert labels.tolist() == [0, 25, 4] and found.shape == (3, 2, 3, 1)
        np.testing.assert_array_equal(np.rint((found[..., 0] + 1) * 127.5), images.transpose(0, 2, 1))


@pytest.mark.parametrize("part, count, at", [
    ("balanced", 47, {0: "0", 10: "A", 36: "a", 38: "d", 46: "t"}), ("bymerge", 47, {46: "t"}), ("digits", 10, {9: "9"}),
    ("byclass", 62, {10: "A", 36: "a", 61: "z"}), ("mnist", 10, {0: "0"}),
])  # fmt: skip
def test_emnist_class_names(tmp_path, part, count, at):
    """The numbers of emnist-balanced-mapping.txt and its companions."""
    write_idx(tmp_path, np.arange(count, dtype=np.uint8), f"emnist-{part}-")
    names = data.info(tmp_path).class_names
    assert len(names) == count and all(names[k] == name for k, name in at.items())


def test_two_data_sets_in_a_folder(tmp_path):
    for prefix in ("emnist-letters-", "emnist-digits-", ""):
        write_idx(tmp_path, np.array([1, 2], np.uint8), prefix)
    with pytest.raises(ValueError, match=r"several data sets .emnist-digits, emnist-letters, files without a prefix."):
        data.load(tmp_path)


def test_torchvision_folders(tmp_path, monkeypatch):
    """datasets.MNIST(root) keeps its files in root/MNIST/raw: the folder itself, the one above and root all lead there."""
    from minidiff.data import loader

    for split in ("train", "t10k"):
        images = write_idx(tmp_path / "MNIST" / "raw", np.array([0, 7, 2], np.uint8), split=split)
    for folder in (tmp_path / "MNIST" / "raw", tmp_path / "MNIST", tmp_path):
        found, labels = data.load(folder)
        np.testing.assert_array_equal(np.rint((found[..., 0] + 1) * 127.5), images)
        assert labels.tolist() == [0, 7, 2] and data.load(folder, "test").labels.tolist() == [0, 7, 2]
    monkeypatch.setattr(loader, "MNIST_SHA256", {("test", "labels"): None})
    assert data.load("mnist", root=tmp_path).labels.tolist() == [0, 7, 2]
    write_idx(tmp_path / "KMNIST" / "raw", np.array([0, 7, 2], np.uint8))
    with pytest.raises(ValueError, match=r"got 2 data sets \(KMNIST/raw, MNIST/raw\), expected the folder of one"):
        data.load(tmp_path)


def record(labels, value):
    """A record of CIFAR: its labels, then red = value, green = value + 1, blue = value + 2."""
    return bytes(labels) + bytes([value]) * 1024 + bytes([value + 1]) * 1024 + bytes([value + 2]) * 1024


def tar_of(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("form", ["folder", "archive", "folder above"])
def test_cifar100(tmp_path, form):
    """A record is the coarse label, the fine one, and the planes; the fine one is the class."""
    files = {"train.bin": record((19, 99), 10) + record((0, 3), 20), "test.bin": record((4, 0), 30)}
    names = [f"fine {k}".replace(" ", "_") for k in range(100)]
    if form == "archive":
        tar_of(tmp_path / "cifar-100-binary.tar.gz", {f"cifar-100-binary/{name}": content for name, content in files.items()})
    else:
        place = tmp_path / "cifar-100-binary" if form == "folder above" else tmp_path
        place.mkdir(exist_ok=True)
        for name, content in files.items():
            (place / name).write_bytes(content)
        (place / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    images, labels = data.load(tmp_path)
    assert images.shape == (2, 32, 32, 3) and labels.tolist() == [99, 3]
    np.testing.assert_array_equal(np.rint((images[1, 5, 9] + 1) * 127.5), [20, 21, 22])
    assert data.load(tmp_path, "test").labels.tolist() == [0]
    assert data.info(tmp_path).class_names == (None if form == "archive" else tuple(names))


def test_cifar_labels_and_lengths(tmp_path):
    for labels, message in (((20, 0), "image 1 has label 20, expected 0 to 19"), ((0, 100), "label 100, expected 0 to 99")):
        (tmp_path / "train.bin").write_bytes(record((0, 0), 1) + record(labels, 1))
        with pytest.raises(ValueError, match=f"train.bin: not CIFAR-100: .*{message}"):
            data.load(tmp_path)
    (tmp_path / "train.bin").write_bytes(record((0,), 1))
    with pytest.raises(
        ValueError, match=r"train.bin: truncated or not CIFAR-100: 3073 bytes is no multiple of a record's 3074"
    ):
        data.load(tmp_path)


def test_cifar10_archive_in_a_folder(tmp_path):
    files = {f"data_batch_{i}.bin": record((i,), i) for i in range(1, 6)} | {"test_batch.bin": record((9,), 7)}
    tar_of(tmp_path / "cifar-10-binary.tar.gz", files)
    assert data.load(tmp_path, "all").labels.tolist() == [1, 2, 3, 4, 5, 9]
    assert data.info(tmp_path).class_names[9] == "truck"
    with pytest.raises(ValueError, match=r"not the file it claims to be: sha256 .*, expected c4a38c50a1bc5f3a"):
        data.load("cifar10", root=tmp_path)


@pytest.mark.parametrize("layout, names", [
    ("cifar-10-batches-py", ["data_batch_1", "test_batch", "batches.meta"]), ("cifar-100-python", ["train", "test", "meta"]),
    (".", ["cifar-10-python.tar.gz"]),
])  # fmt: skip
def test_pickles_are_refused_unopened(tmp_path, layout, names):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / layout).mkdir(exist_ok=True)
    for name in names:
        (tmp_path / layout / name).write_bytes(pickle.dumps(Trap()))
    for folder in {tmp_path, tmp_path / layout}:
        with pytest.raises(ValueError, match=r"got the Python version of CIFAR .*a pickle, which can run code.*is not read; "
                                             "expected the binary version, cifar-10-binary.tar.gz or"):  # fmt: skip
            data.load(folder)
    assert not (tmp_path / "ran").exists()


def test_hostile_archives(tmp_path, monkeypatch):
    path, good = tmp_path / "cifar-10-binary.tar.gz", {"test_batch.bin": record((9,), 7)}
    for mode in ("w:xz", "w:bz2", "w"):  # only gzip is documented; damaged xz raised LZMAError
        tar_of(path, good, mode)
        with pytest.raises(ValueError, match=r"cifar-10-binary.tar.gz: not a readable tar archive .Not a gzipped file"):
            cifar.read_cifar(path, "test")
    monkeypatch.setattr(cifar, "MOST_BYTES", 2_000_000)
    for name in ("padding", "test_batch.bin"):
        tar_of(path, {name: bytes(64 * 2**20), "other": b""} | (good if name == "padding" else {}))
        peak, said = peak_of(lambda: cifar.read_cifar(path, "test"))
        assert "not a readable tar archive (it unpacks to more than 2,000,000 bytes)" in said and peak < 6
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 2**24}) as tar:
        tar.addfile(tarfile.TarInfo("test_batch.bin"))
    peak, said = peak_of(lambda: cifar.read_cifar(path, "test"))
    assert "it unpacks to more than" in said and peak < 6
    with tarfile.open(path, "w:gz") as tar:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match=r"the archive lacks test_batch.bin"):
        cifar.read_cifar(path, "test")


@pytest.mark.parametrize("name", ["kmnist", "k49"])
def test_kmnist_arrays(tmp_path, name):
    images = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    for split, labels in (("train", [0, 48]), ("test", [3, 4])):
        np.savez_compressed(tmp_path / f"{name}-{split}-imgs.npz", images)
        np.savez_compressed(tmp_path / f"{name}-{split}-labels.npz", np.array(labels, np.uint8))
    found, labels = data.load(tmp_path)
    np.testing.assert_array_equal(np.rint((found[..., 0] + 1) * 127.5), images)
    assert labels.tolist() == [0, 48] and data.load(tmp_path, "test").labels.tolist() == [3, 4]


def test_hostile_npz(tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    path = tmp_path / "k49-train-imgs.npz"

    def refused(message):
        peak, said = peak_of(lambda: data.load(tmp_path))
        assert said.startswith(f"{path}: ") and message in said and peak < 6, said

    np.savez(path, np.array([Trap()], dtype=object))
    refused("the array is of Python objects (a pickle, which can run code): not read")
    assert not (tmp_path / "ran").exists()
    np.savez(path, x_train=np.zeros(3), y_train=np.zeros(3))
    refused("the archive holds x_train.npy, y_train.npy; expected a single array, as in kmnist-train-imgs.npz")
    np.savez(path, np.zeros((2, 2, 2), np.float32))
    refused("got float32 (2, 2, 2), expected images uint8 (N, H, W)")
    for shape in ((3_000_000, 28, 28), (-1, 28, 28)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("arr_0.npy", header.getvalue() + bytes(2**20))
        refused("the header promises uint8 (")
    for content in (b"", b"PK\3\4rubbish", b"\x80\4N."):
        path.write_bytes(content)
        refused("not a readable .npz file")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", np.lib.format.magic(1, 0) + struct.pack("<H", 6) + b"{'a':(")
    refused("not a readable .npz file")


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "k49-train-imgs.npz", "train.bin",
                                  "cifar-10-binary.tar.gz"])  # fmt: skip
def test_pipes_are_refused(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"got .*{name}, a pipe, expected a regular file"):
        data.load(tmp_path)


def test_unpack_reads_what_is_there(tmp_path):
    """The bytes are those of the file, for MNIST's hashes are of them."""
    array = np.arange(5000, dtype=np.uint8).reshape(50, 10, 10)
    (tmp_path / "a").write_bytes(idx_bytes(array))
    (tmp_path / "b").write_bytes(gzip.compress(idx_bytes(array)))
    assert idx.unpack(tmp_path / "a") == idx.unpack(tmp_path / "b") == idx_bytes(array)

"""CIFAR-10 and CIFAR-100 in their binary form: a record has one or two labels, then red, green and blue planes, 32 x 32 each.

The format: https://www.cs.toronto.edu/~kriz/cifar.html. The other archives there are Python pickles, which can run code
when they are opened, so they are not read.
"""

import gzip
import os
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..files import regular_file


class Kind(NamedTuple):
    """CIFAR-10 or CIFAR-100: its name, archive and folder, the files of each part, and the range of each label of a record.

    The last label is the class: CIFAR-100 gives a coarse one first.
    """

    name: str
    archive: str
    folder: str
    files: dict
    ranges: tuple

    @property
    def record(self):
        """Bytes of one image."""
        return len(self.ranges) + 3 * 32 * 32


CIFAR10 = Kind(
    "CIFAR-10", "cifar-10-binary.tar.gz", "cifar-10-batches-bin",
    {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}, (10,),
)  # fmt: skip
CIFAR100 = Kind(
    "CIFAR-100", "cifar-100-binary.tar.gz", "cifar-100-binary", {"train": ["train.bin"], "test": ["test.bin"]}, (20, 100)
)
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MOST_BYTES = 400_000_000  # that an archive may unpack to; both sets take 184 million
_PICKLES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


def parse_cifar(data, name="CIFAR data", kind=CIFAR10):
    """bytes of one batch file   ->   images uint8 (N, 32, 32, 3), labels int64 (N,)

    Raises ValueError, naming the file, where it is empty, not a whole number of records, or holds a label out of range.
    """
    if len(data) == 0:
        raise ValueError(f"{name}: the file is empty, expected {kind.name} records of {kind.record} bytes")
    if len(data) % kind.record:
        raise ValueError(f"{name}: truncated or not {kind.name}: {len(data)} bytes is no multiple of a record's {kind.record}")
    records = np.frombuffer(data, np.uint8).reshape(-1, kind.record)  # (N, 3073) or (N, 3074)
    for place, classes in enumerate(kind.ranges):
        labels = records[:, place].astype(np.int64)
        if labels.max() >= classes:
            found = f"image {labels.argmax()} has label {labels.max()}"
            raise ValueError(f"{name}: not {kind.name}: {found}, expected 0 to {classes - 1}")
    images = records[:, len(kind.ranges) :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, 32, 32, 3)
    return np.ascontiguousarray(images), labels


def find_cifar(folder):
    """(Kind, source) of the binary files or the archive that lie in a folder; None where there are none.

    Raises ValueError where they are the pickles of the Python version.
    """
    held = set(os.listdir(folder))
    for kind in (CIFAR10, CIFAR100):
        if any(name in held for names in kind.files.values() for name in names):
            return kind, Path(folder)
        if kind.archive in held:
            return kind, Path(folder) / kind.archive
    archives = [f"cifar-{n}-python.tar.gz" for n in (10, 100)]
    for_100 = ("train", "test", "meta") if "meta" in held else ()
    pickles = [name for name in (*_PICKLES, *archives, *for_100) if name in held and not (Path(folder) / name).is_dir()]
    if pickles and pickles != ["meta"]:
        raise ValueError(
            f"{folder}: got the Python version of CIFAR ({pickles[0]}), a pickle, which can run code when it is opened and "
            f"is not read; expected the binary version, {CIFAR10.archive} or {CIFAR100.archive}, or its folder"
        )
    return None


def class_names(kind, source):
    """The names of the classes. Those of CIFAR-100 are in a file beside the images; without it they are None."""
    if kind is CIFAR10:
        return CLASS_NAMES
    file = Path(source) / "fine_label_names.txt"
    if not file.is_file() or file.stat().st_size > 10_000:
        return None
    names = tuple(file.read_text(encoding="utf-8", errors="replace").split())
    return names if len(names) == 100 else None


def read_cifar(source, split, kind=CIFAR10):
    """An archive as it is served, or the folder it unpacks to; split "train" or "test".

    -> images uint8 (N, 32, 32, 3), labels int64 (N,).   Nothing is written: the archive is read without unpacking it.
    """
    source, names = Path(source), kind.files[split]
    if source.is_dir():
        if missing := [name for name in names if not (source / name).exists()]:
            raise ValueError(f"{source}: no {', '.join(missing)}: the {split} part of {kind.name} is {', '.join(names)}")
        files = [regular_file(source / name, kind.name) for name in names]
        parts = [parse_cifar(file.read_bytes(), str(file), kind) for file in files]
    else:
        parts = [parse_cifar(data, f"{source}: {name}", kind) for name, data in _members(source, names, kind)]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _members(archive, names, kind):
    """(name, bytes) of these files of a gzipped tar archive, in the order of names."""
    archive, found = regular_file(archive, kind.name), {}
    try:
        with open(archive, "rb") as file, gzip.GzipFile(fileobj=file) as unpacked:
            with tarfile.open(fileobj=_Limited(unpacked), mode="r|") as tar:
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    if member.isreg() and name in names and name not in found:
                        found[name] = tar.extractfile(member).read()
                        if len(found) == len(names):
                            break
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as e:
        raise ValueError(f"{archive}: not a readable tar archive ({e})") from None
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{archive}: the archive lacks {', '.join(missing)}; expected {kind.archive}")
    return [(name, found[name]) for name in names]


class _Limited:
    """A stream to read from that ends with an OSError after MOST_BYTES, whatever sizes its members declare."""

    def __init__(self, stream):
        self.stream, self.left = stream, MOST_BYTES

    def read(self, size):
        data = self.stream.read(min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise OSError(f"it unpacks to more than {MOST_BYTES:,} bytes")
        return data

"""CIFAR-10 in its binary form: 3,073 bytes an image: the label, then 32 x 32 red, green and blue, row by row.

The format: https://www.cs.toronto.edu/~kriz/cifar.html. The other archive there is a Python pickle, which can run code
when it is opened, so it is not read.
"""

import tarfile
import zlib
from pathlib import Path

import numpy as np

RECORD = 1 + 3 * 32 * 32
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def parse_cifar(data, name="CIFAR data"):
    """bytes of one batch file   ->   images uint8 (N, 32, 32, 3), labels int64 (N,)

    Raises ValueError, naming the file, where it is empty, not a whole number of records, or holds a label above 9.
    """
    if len(data) == 0:
        raise ValueError(f"{name}: the file is empty, expected CIFAR-10 records of {RECORD} bytes")
    if len(data) % RECORD:
        raise ValueError(f"{name}: truncated or not CIFAR-10: {len(data)} bytes is no multiple of a record's {RECORD}")
    records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)  # (N, 3073)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise ValueError(f"{name}: not CIFAR-10: image {labels.argmax()} has label {labels.max()}, expected 0 to 9")
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, 32, 32, 3)
    return np.ascontiguousarray(images), labels


def read_cifar(source, split):
    """The archive cifar-10-binary.tar.gz, or the folder it unpacks to; split "train" or "test".

    -> images uint8 (N, 32, 32, 3), labels int64 (N,).   Nothing is written: the archive is read as it lies.
    """
    source = Path(source)
    if source.is_dir():
        missing = [name for name in FILES[split] if not (source / name).is_file()]
        if missing:
            raise ValueError(f"{source}: no {', '.join(missing)}: the {split} part of CIFAR-10 is {', '.join(FILES[split])}")
        parts = [parse_cifar((source / name).read_bytes(), str(source / name)) for name in FILES[split]]
    else:
        parts = [parse_cifar(data, f"{source}: {name}") for name, data in _members(source, FILES[split])]
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _members(archive, names):
    """(name, bytes) of these files of a tar archive, in the order of names."""
    found = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name in names:
                    found[name] = tar.extractfile(member).read()
                    if len(found) == len(names):
                        break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as e:
        raise ValueError(f"{archive}: not a readable tar archive ({e})") from None
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{archive}: the archive lacks {', '.join(missing)}; expected cifar-10-binary.tar.gz")
    return [(name, found[name]) for name in names]

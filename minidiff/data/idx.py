"""idx files, the format of MNIST: two zero bytes, a type code, the number of dimensions, the sizes, the numbers.

Sizes and numbers are big-endian. The format is given at the end of http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import hashlib
import math
import re
import zlib
from pathlib import Path

import numpy as np

from ..files import regular_file
from . import checks, emnist

MOST_BYTES = 2**30  # that a gzipped file may unpack to: a megabyte of gzip can hold a gigabyte of zeros
MOST_DIMENSIONS = 8
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"(?:emnist-([a-z]+)-)?(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")


def parse_idx(data, name="idx data"):
    """bytes of an idx file -> array of the type and shape that its header gives, native byte order, writable.

    Raises ValueError, naming the file, for an empty or truncated file, a wrong magic number, an unknown type or a
    length that does not fit the sizes.
    """
    dtype, shape, start, expected = _header(data, name)
    _check_length(len(data) - start, expected, dtype, shape, name)
    return np.frombuffer(data, dtype, offset=start).astype(dtype.newbyteorder("=")).reshape(shape)


def unpack(path):
    """The bytes of an idx file, gunzipped if its content is gzip, whatever its name.

    The header is checked first, and no more is read than it declares. Raises ValueError for what is not an idx file, for a
    damaged gzip, and for a gzip whose header declares more than MOST_BYTES.
    """
    path = regular_file(path, "idx file")
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=file) if packed else file
            data = bytearray(stream.read(4 + 4 * MOST_DIMENSIONS))
            dtype, shape, start, expected = _header(data, str(path))
            if not packed:
                _check_length(path.stat().st_size - start, expected, dtype, shape, str(path))
            elif expected > MOST_BYTES:
                raise ValueError(
                    f"{path}: the header promises {expected:,} bytes, sizes {shape}; a gzip file may hold {MOST_BYTES:,}: "
                    "if that is right, unpack it with gunzip"
                )
            while len(data) <= start + expected and (piece := stream.read(2**20)):  # one byte more than declared, or the end
                data += piece
        except (OSError, EOFError, zlib.error) as e:
            what = "the gzip data is damaged or truncated" if packed else "cannot be read"
            raise ValueError(f"{path}: {what} ({e})") from None
    return data


def find_idx(folder):
    """{("train" | "test", "images" | "labels"): path} of the idx files that lie in a folder, gzipped or not.

    Raises ValueError for files of several data sets.
    """
    found = {}
    for path in sorted(Path(folder).iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and not path.is_dir():
            split = "train" if match[2] == "train" else "test"
            # the unpacked file sorts first and is faster to read
            found.setdefault(match[1], {}).setdefault((split, match[3]), path)
    if len(found) > 1:
        sets = ", ".join(f"emnist-{name}" if name else "files without a prefix" for name in found)
        raise ValueError(f"{folder}: got the idx files of several data sets ({sets}), expected one: move it to its own folder")
    return next(iter(found.values()), {})


def part_of_emnist(files):
    """The part of EMNIST of the files of `find_idx`, by their names ("letters", "balanced", ...); None for another set."""
    return _NAME.fullmatch(next(iter(files.values())).name)[1]


def read_idx(files, split, sha256=None):
    """One split of {("train", "images"): path, ...}   ->   images uint8 (N, H, W, C), labels int64 (N,) or None

    sha256: {(split, what): digest of the unpacked content}, checked where given.
    Raises ValueError for a damaged file, other shapes or types than images and labels have, counts that differ, and labels
    that are no class numbers.
    """
    if (split, "images") not in files:
        raise ValueError(f"no {split} images among the idx files found: {', '.join(str(p) for p in files.values())}")
    read, names = {}, {}
    for what in ("images", "labels"):
        if (path := files.get((split, what))) is not None:
            data = unpack(path)
            expected = (sha256 or {}).get((split, what))
            if expected and (digest := hashlib.sha256(data).hexdigest()) != expected:
                raise ValueError(f"{path}: not the file it claims to be: sha256 of the content {digest}, expected {expected}")
            read[what], names[what] = parse_idx(data, str(path)), str(path)
    if (part := part_of_emnist(files)) is not None:
        read["images"], read["labels"] = emnist.as_usual(part, read["images"], read.get("labels"))
    return checks.images_and_labels(read["images"], read.get("labels"), names["images"], names.get("labels"))


def _header(data, name):
    """(dtype, shape, where the numbers start, how many bytes they are) from the beginning of an idx file."""
    if len(data) == 0:
        raise ValueError(f"{name}: the file is empty, expected an idx file")
    if len(data) < 4:
        raise ValueError(f"{name}: truncated: {len(data)} bytes, an idx header has at least 4")
    zero, code, ndim = bytes(data[:2]), data[2], data[3]
    if zero != b"\0\0":
        raise ValueError(f"{name}: wrong magic number {data[:4].hex(' ')}, an idx file starts with 00 00")
    if code not in _TYPES:
        raise ValueError(f"{name}: unknown data type {code:#04x}, expected one of {', '.join(f'{c:#04x}' for c in _TYPES)}")
    if ndim > MOST_DIMENSIONS:
        raise ValueError(f"{name}: the header has {ndim} dimensions, expected at most {MOST_DIMENSIONS}")
    start = 4 + 4 * ndim
    if ndim == 0 or len(data) < start:
        raise ValueError(f"{name}: truncated: {len(data)} bytes, a header with {ndim} dimensions has {start}")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, 4))
    dtype = np.dtype(_TYPES[code])
    return dtype, shape, start, math.prod(shape) * dtype.itemsize


def _check_length(found, expected, dtype, shape, name):
    if found != expected:
        what = "truncated" if found < expected else "too long"
        raise ValueError(f"{name}: {what}: {found} bytes of numbers, sizes {shape} of {dtype.name} need {expected}")

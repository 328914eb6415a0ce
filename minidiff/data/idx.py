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

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NAME = re.compile(r"(train|t10k|test)-(images|labels)[-.]idx\d-ubyte(\.gz)?")


def parse_idx(data, name="idx data"):
    """bytes of an idx file -> array of the type and shape that its header gives, native byte order, writable.

    Raises ValueError, naming the file, for an empty or truncated file, a wrong magic number, an unknown type or a
    length that does not fit the sizes.
    """
    if len(data) == 0:
        raise ValueError(f"{name}: the file is empty, expected an idx file")
    if len(data) < 4:
        raise ValueError(f"{name}: truncated: {len(data)} bytes, an idx header has at least 4")
    zero, code, ndim = data[:2], data[2], data[3]
    if zero != b"\0\0":
        raise ValueError(f"{name}: wrong magic number {data[:4].hex(' ')}, an idx file starts with 00 00")
    if code not in _TYPES:
        raise ValueError(f"{name}: unknown data type {code:#04x}, expected one of {', '.join(f'{c:#04x}' for c in _TYPES)}")
    start = 4 + 4 * ndim
    if ndim == 0 or len(data) < start:
        raise ValueError(f"{name}: truncated: {len(data)} bytes, a header with {ndim} dimensions has {start}")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, 4))
    dtype = np.dtype(_TYPES[code])
    found, expected = len(data) - start, math.prod(shape) * dtype.itemsize
    if found != expected:
        what = "truncated" if found < expected else "too long"
        raise ValueError(f"{name}: {what}: {found} bytes of numbers, sizes {shape} of {dtype.name} need {expected}")
    return np.frombuffer(data, dtype, offset=start).astype(dtype.newbyteorder("=")).reshape(shape)


def unpack(path):
    """The bytes of a file, gunzipped if its content is gzip (whatever its name). Raises ValueError where that fails."""
    data = Path(path).read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as e:
        raise ValueError(f"{path}: the gzip data is damaged or truncated ({e})") from None


def find_idx(folder):
    """{("train" | "test", "images" | "labels"): path} of the idx files that lie in a folder, gzipped or not."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file():
            split = "train" if match[1] == "train" else "test"
            found.setdefault((split, match[2]), path)  # the unpacked one sorts first and is the faster
    return found


def read_idx(files, split, sha256=None):
    """One split of {("train", "images"): path, ...}   ->   images uint8 (N, H, W, C), labels int64 (N,) or None

    sha256: {(split, what): digest of the unpacked content}, checked where given.
    Raises ValueError for a damaged file, other shapes or types than images and labels have, and counts that differ.
    """
    if (split, "images") not in files:
        raise ValueError(f"no {split} images among the idx files found: {', '.join(str(p) for p in files.values())}")
    read = {}
    for what in ("images", "labels"):
        if (path := files.get((split, what))) is not None:
            data = unpack(path)
            expected = (sha256 or {}).get((split, what))
            if expected and (digest := hashlib.sha256(data).hexdigest()) != expected:
                raise ValueError(f"{path}: not the file it claims to be: sha256 of the content {digest}, expected {expected}")
            read[what] = parse_idx(data, str(path))
    images, labels = read["images"], read.get("labels")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.size == 0:
        got = f"{images.dtype} {images.shape}"
        raise ValueError(f"{files[split, 'images']}: got {got}, expected images uint8 (N, H, W) or (N, H, W, C), N >= 1")
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W, 1)
    if labels is None:
        return images, None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{files[split, 'labels']}: got {labels.dtype} {labels.shape}, expected whole numbers (N,)")
    if len(labels) != len(images):
        raise ValueError(f"{files[split, 'labels']}: {len(labels)} labels for {len(images)} images in {files[split, 'images']}")
    return images, labels.astype(np.int64)

"""Reads the .npz files of KMNIST and Kuzushiji-49, such as kmnist-train-imgs.npz. Each contains a single array.

https://github.com/rois-codh/kmnist. Nothing is unpickled.
"""

import math
import re
import zipfile
from pathlib import Path

import numpy as np

from ..files import regular_file
from . import checks

MOST_BYTES = 2**30  # of one array; a zip file of a megabyte can expand to a gigabyte of zeros
_NAME = re.compile(r"(?:([a-z0-9]+)-)?(train|test)-(imgs|images|labels)\.npz")


def find_npz(folder):
    """The .npz files of this kind in a folder.   -> {("train" or "test", "images" or "labels"): path}

    Raises ValueError if they belong to more than one data set.
    """
    found = {}
    for path in sorted(Path(folder).iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and not path.is_dir():
            found.setdefault(match[1], {})[match[2], "labels" if match[3] == "labels" else "images"] = path
    if len(found) > 1:
        raise ValueError(f"{folder}: got the npz files of several data sets ({', '.join(map(str, found))}), expected one: "
                         "move it to its own folder")  # fmt: skip
    return next(iter(found.values()), {})


def read_npz(files, split):
    """One split ("train" or "test") of what find_npz returns.   -> images uint8 (N, H, W, C), labels int64 (N,) or None

    Raises ValueError if the split has no images, or if the images and labels do not fit each other.
    """
    if (split, "images") not in files:
        raise ValueError(f"no {split} images among the npz files found: {', '.join(str(p) for p in files.values())}")
    read = {what: (read_array(path), str(path)) for (part, what), path in files.items() if part == split}
    (images, images_name), (labels, labels_name) = read["images"], read.get("labels", (None, None))
    return checks.images_and_labels(images, labels, images_name, labels_name)


def read_array(path):
    """The only array of an .npz file.

    Reads its type and size before its numbers. Raises ValueError if the file is not a readable archive of one array, if the
    array contains Python objects, or if it is larger than MOST_BYTES.
    """
    path = regular_file(path, "npz file")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1 or not members[0].filename.endswith(".npy"):
                held = ", ".join(member.filename for member in members[:5]) or "nothing"
                raise _NotThis(f"{path}: the archive holds {held}; expected a single array, as in kmnist-train-imgs.npz")
            with archive.open(members[0]) as file:
                shape, dtype = _header(file)
        if dtype.hasobject:
            raise _NotThis(f"{path}: the array is of Python objects (a pickle, which can run code): not read; expected numbers")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > MOST_BYTES:
            raise _NotThis(f"{path}: the header promises {dtype} {shape}, expected at most {MOST_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            return next(iter(arrays.values()))
    except _NotThis:
        raise
    except Exception as e:  # BadZipFile, zlib.error, LZMAError, TokenError, ...: it depends on the damage
        raise ValueError(f"{path}: not a readable .npz file ({e})") from None


class _NotThis(ValueError):
    pass


def _header(file):
    """(shape, dtype) of a .npy file. Does not read its numbers."""
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype

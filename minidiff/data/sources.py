"""Finds out by file names which data set a folder holds: idx files, the .npz files of KMNIST, CIFAR, or images."""

from pathlib import Path
from typing import Any, NamedTuple

from . import cifar, emnist, folder, idx, npz


class Source(NamedTuple):
    """what it is, in words; where; class names in the order of the labels or None; parts: "train", "test";
    read(part) -> images uint8 (N, H, W, C), labels int64 (N,) or None"""

    what: str
    place: Path
    class_names: tuple | None
    parts: set
    read: Any


def find(path):
    """The Source of the files in a folder, also where a subfolder holds them: torchvision's raw/, or the one that an archive
    of CIFAR unpacks to. None without such files: then its images are read.

    Raises ValueError for several data sets, and for files that are not read, such as pickles.
    """
    path = Path(path)
    if found := _at(path) or _at(path / "raw"):
        return found
    likely = (cifar.CIFAR10.folder, cifar.CIFAR100.folder, "cifar-10-batches-py", "cifar-100-python")
    below = folder.visible_folders(path)
    found = [source for sub in below for place in (sub / "raw", *[sub] * (sub.name in likely)) if (source := _at(place))]
    if len(found) > 1:
        places = ", ".join(str(source.place.relative_to(path)) for source in found)
        raise ValueError(f"{path}: got {len(found)} data sets ({places}), expected the folder of one")
    return found[0] if found else None


def _at(place):
    if not place.is_dir():
        return None
    for what, find_files, read in (("idx files", idx.find_idx, idx.read_idx), ("npz files", npz.find_npz, npz.read_npz)):
        if files := find_files(place):
            names = emnist.CLASS_NAMES.get(idx.part_of_emnist(files)) if what == "idx files" else None
            parts = {part for part, content in files if content == "images"}
            return Source(what, place, names, parts, lambda part, read=read, files=files: read(files, part))
    if found := cifar.find_cifar(place):
        kind, source = found
        names = cifar.class_names(kind, source)
        return Source(f"{kind.name} batches", place, names, set(kind.files), lambda part: cifar.read_cifar(source, part, kind))
    return None

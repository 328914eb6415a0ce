"""`load` and `info`: every data set by name or by folder."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..names import did_you_mean
from ..rng import Rng
from . import cifar, folder, idx, sources
from .captioned import CLASSES, classified_shapes
from .digits import load_digits
from .download import cache_folder, check, fetch
from .toys import TOYS

SPLITS = ("train", "test", "all")
_TEN = tuple("0123456789")
_FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_RAW = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}  # where torchvision keeps them
MNIST_SHA256 = {  # of the unpacked files, so that the compressor does not matter
    ("train", "images"): "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ("train", "labels"): "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ("test", "images"): "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ("test", "labels"): "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


class Dataset(NamedTuple):
    """images float32 in [-1, 1] (N, H, W, C), or points (N, 2);   labels int64 (N,), or None where there are none."""

    images: np.ndarray
    labels: np.ndarray | None


@dataclass(frozen=True)
class Info:
    """Information on a data set before it is opened.

    shape         of one example: (H, W, C), or (2,) for points; None for a folder
    class_names   names in the order of the labels, or None
    sizes         examples in {"train": ..., "test": ...}; None where it is unknown or chosen by the caller
    source        origin and licence
    """

    name: str
    shape: tuple | None
    class_names: tuple | None
    sizes: dict | None
    source: str


_INFO = {
    "digits": Info("digits", (8, 8, 1), _TEN, {"train": 1437, "test": 360}, "E. Alpaydin, C. Kaynak; UCI, CC BY 4.0"),
    "mnist": Info("mnist", (28, 28, 1), _TEN, {"train": 60000, "test": 10000}, "Y. LeCun, C. Cortes, C. Burges"),
    "fashion-mnist": Info("fashion-mnist", (28, 28, 1), _FASHION, {"train": 60000, "test": 10000}, "Zalando Research, MIT"),
    "cifar10": Info("cifar10", (32, 32, 3), cifar.CLASS_NAMES, {"train": 50000, "test": 10000}, "A. Krizhevsky, 2009"),
}
_INFO["shapes"] = Info("shapes", (16, 16, 3), CLASSES, None, "drawn by minidiff.data.shapes")
_INFO |= {name: Info(name, (2,), None, None, "drawn by minidiff.data.toys") for name in TOYS}


def names():
    """The names that `load` knows, as a list."""
    return list(_INFO)


def load(name_or_path, split="train", root=None, size=None, n=None, seed=None, class_names=None):
    """A data set by name, or a folder of PNG and JPEG images, of idx files (MNIST, EMNIST), of the .npz files of KMNIST, or of
    CIFAR-10 or CIFAR-100 in binary form.

    split   "train", "test" or "all"; each data set's split is fixed
    root    folder of named data sets and downloads: default $MINIDIFF_DATA or the user's cache folder
    size    for a folder of images: side, or (height, width), to which they are resized; for shapes: side (default 16)
    n       for generated data (shapes and points in the plane): how many in the training part and how many in the test part
            (default 10,000)
    seed    for generated data (default 0)
    class_names   for a folder of images: its classes in the order of the labels, as stored in a run (default: by name)

    -> Dataset(images float32 in [-1, 1] (N, H, W, C), labels int64 (N,) or None); points are (N, 2).
    Raises ValueError for an unknown name or split, an option that does not apply, and damaged or ill-fitting files;
    RuntimeError when a download fails.
    """
    name, path = _resolve(name_or_path)
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(SPLITS)}")
    drawn = name in TOYS or name == "shapes"
    for option, value, belongs, to in (
        ("size", size, path or name == "shapes", "shapes and folders of images"),
        ("n", n, drawn, f"data that is drawn (shapes, {', '.join(TOYS)})"),
        ("seed", seed, drawn, f"data that is drawn (shapes, {', '.join(TOYS)})"),
        ("class_names", class_names, path, "folders of images"),
    ):
        if value is not None and not belongs:
            raise ValueError(f"{option}: got {value!r} for {str(name_or_path)!r}, but it belongs to {to}")
    if n is not None and (not isinstance(n, (int, np.integer)) or n < 1):
        raise ValueError(f"n: got {n!r}, expected a whole number, at least 1")
    if name == "digits":
        return Dataset(*load_digits(split))
    if drawn:
        return _draw(name, split, 10_000 if n is None else n, 0 if seed is None else seed, size)
    images, labels = _read_folder(path, split, size, class_names) if path else _read_named(name, split, root)
    return Dataset(_to_float(images), labels)


def info(name_or_path):
    """Info on a data set that `load` knows by name, or on a folder. Opens no image and downloads nothing."""
    name, path = _resolve(name_or_path)
    if name:
        return _INFO[name]
    source = sources.find(path)
    return Info(path.name, None, source.class_names if source else folder.class_names(path), None, str(path))


def _resolve(name_or_path):
    """(name, None) for a known name, (None, Path) for a folder; ValueError with suggestions for neither."""
    if str(name_or_path) in _INFO:
        return str(name_or_path), None
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return None, path
    if path.exists():
        raise ValueError(f"data: got the file {name_or_path}, expected a folder or one of {', '.join(_INFO)}")
    hint = did_you_mean(str(name_or_path).lower(), _INFO, cutoff=0.5) or "."
    raise ValueError(f"data: {str(name_or_path)!r} is neither a folder nor a known name{hint} Known: {', '.join(_INFO)}")


def _draw(name, split, n, seed, size):
    """Generate a split; the training and the test part are two streams of one seed."""
    streams = {"train": [0], "test": [1], "all": [0, 1]}[split]
    if name == "shapes":
        parts = [classified_shapes(n, size or 16, Rng(seed, stream)) for stream in streams]
    else:
        parts = [TOYS[name](n, Rng(seed, stream)) for stream in streams]
    return Dataset(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _read_folder(path, split, size, class_names):
    source = sources.find(path)
    if source is None:
        return folder.read_images(path, split, size, class_names)
    if size is not None:
        raise ValueError(f"size: got {size!r}, but {path} holds {source.what}; only PNG and JPEG files are resized")
    return _each(split, source.parts, source.read)


def _read_named(name, split, root):
    """mnist, fashion-mnist or cifar10: from existing files, or downloaded."""
    base = cache_folder(root)
    if name == "cifar10":
        places = [place for place in (base, base / name, base / cifar.CIFAR10.folder) if place.is_dir()]
        source = next((place for place in places if (place / "test_batch.bin").is_file()), base / cifar.CIFAR10.archive)
        if source.is_file():
            check(name, source)
        elif not source.is_dir():
            source = fetch(name, root)[cifar.CIFAR10.archive]
        return _each(split, SPLITS[:2], lambda part: cifar.read_cifar(source, part))
    places = [place for place in (base, base / name, base / _RAW[name]) if place.is_dir()]
    complete = [files for place in places if len(files := idx.find_idx(place)) == 4 and not idx.part_of_emnist(files)]
    if name == "fashion-mnist":  # its files have the same names
        complete = [files for files in complete if not _is_mnist(files)]
    if not complete:
        fetch(name, root)
        complete = [idx.find_idx(base / name)]
    sha256 = MNIST_SHA256 if name == "mnist" else None
    return _each(split, SPLITS[:2], lambda part: idx.read_idx(complete[0], part, sha256))


def _is_mnist(files):
    return hashlib.sha256(idx.unpack(files["test", "labels"])).hexdigest() == MNIST_SHA256["test", "labels"]


def _each(split, parts, read):
    """read(split), or for "all" the parts there are, one after another."""
    if split != "all":
        return read(split)
    images, labels = zip(*(read(part) for part in SPLITS[:2] if part in parts), strict=True)
    return np.concatenate(images), None if any(part is None for part in labels) else np.concatenate(labels)


def _to_float(images):
    """uint8 0 .. 255   ->   float32 -1 .. 1"""
    images = images.astype(np.float32)
    images *= 2
    images -= 255  # whole numbers so far, so the division below is the only rounding
    images /= 255
    return images

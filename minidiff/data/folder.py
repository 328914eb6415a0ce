"""A folder of PNG or JPEG files as a data set."""

import os
import re
import warnings
from pathlib import Path

import numpy as np

from .image_file import SUFFIXES, decode, warn_of_dim

OTHER_IMAGES = {".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".heic", ".avif", ".jfif", ".ppm", ".pgm", ".eps", ".svg"}
RUN_IMAGE = re.compile(r"(loss|samples(_\d+)?)\.png")  # files of a run folder that look like data
_SYSTEM = {"__macosx", "__pycache__", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found",
           "@eadir"}  # fmt: skip


def find_images(folder):
    """The image files of a folder and their class names.

    Subfolders that hold images are the classes, ordered by name, numbers in a name by their value; images directly in
    the folder have no class. Hidden and system files and run folders are skipped, because they are not data.
    -> paths (sorted), labels (list of int) or None, class names (list) or None.   Raises ValueError for a mixture.
    """
    folder = Path(folder)
    loose = _image_files(folder)
    inside = {sub.name: _images_below(sub) for sub in visible_folders(folder)}
    inside = {name: paths for name, paths in inside.items() if paths}
    if loose and inside:
        raise ValueError(
            f"{folder}: {len(loose)} images lie beside folders of images ({_some(inside)}), such as {loose[0].name}: "
            "either all in class folders or none"
        )
    if not inside:
        return loose, None, None
    paths = [path for paths in inside.values() for path in paths]
    labels = [label for label, paths in enumerate(inside.values()) for _ in paths]
    return paths, labels, list(inside)


def split_folders(folder, split):
    """The folders of a split: train/ and test/ where the folder has them, otherwise the folder itself."""
    folder = Path(folder)
    parts = [folder / part for part in ("train", "test") if (folder / part).is_dir()]
    if parts:
        return [part for part in parts if split in (part.name, "all")]
    return [folder] if split != "test" else []


def class_names(folder):
    """The names of the classes of a folder, in the order of the labels; None without classes."""
    names = {name for part in split_folders(folder, "all") for name in find_images(part)[2] or ()}
    return tuple(sorted(names, key=natural)) or None


def natural(name):
    """Sort key for natural order: "2" before "10", "img2" before "img10"."""
    pieces = re.split("([0-9]+)", name)  # text and digits alternate, text first
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name


def read_images(folder, split, size=None, names=None):
    """A folder of images   ->   images uint8 (N, H, W, C), labels int64 (N,) or None

    split   with subfolders train/ and test/, those; without, "train" and "all" are every image and "test" an error
    size    H = W, or (H, W): the middle of each image is cropped to that shape and resized; None leaves images as they are
    names   class names in the order of the labels, where a run fixed it; default `class_names(folder)`
    C is 1 when every file is grey, else 3; image_file.read_image reads each file.
    Raises ValueError where there is no image, a file cannot be read, a class is not among the names, or sizes differ and no
    size is given.
    """
    shape = _shape(size)
    folders = split_folders(folder, split)
    if not folders:
        raise ValueError(f"{folder}: nothing is held out here: make subfolders train/ and test/, or ask for split 'all'")
    paths, labels = _labelled(folder, folders, tuple(names or class_names(folder) or ()))
    if not paths:
        expected = f"expected files ending in {', '.join(sorted(SUFFIXES))}"
        raise ValueError(f"{folder}: no image for split {split!r}: {expected}{found_instead(folder)}")
    warn_of_left_out(Path(folder), folders)
    images, dim = [], []
    for path in paths:
        image, is_dim = decode(path, shape)
        images.append(image)
        dim += [path] * is_dim
        if image.shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"images differ in size: {paths[0]} is {_size(images[0])}, {path} is {_size(image)} "
                "(height x width): give size= to bring all to one"
            )
    warn_of_dim(dim, len(paths))
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1) for image in images]
        return np.stack(images), _as_array(labels)  # (N, H, W, 3)
    return np.stack(images)[..., None], _as_array(labels)  # (N, H, W, 1)


def visible_folders(folder):
    """The subfolders with data, in natural order: without hidden ones, the system's, and run folders."""
    found = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not _is_hidden(entry.name)]
    return sorted((sub for sub in found if not holds_run(sub)), key=lambda sub: natural(sub.name))


def holds_run(folder):
    """Whether a folder is a run folder, whose images are samples: it has a checkpoint or a log."""
    if os.path.lexists(os.path.join(folder, "checkpoint.safetensors")):
        return True
    log = os.path.join(folder, "log.csv")  # a run that was killed before its first checkpoint has only this
    if not os.path.isfile(log):
        return False
    with open(log, "rb") as file:
        return file.read(5) == b"step,"


def found_instead(folder):
    """ "; it holds 2 .tif, 1 .zip", for a message about what the folder contains; "" for an empty folder."""
    kinds = {}
    for name in sorted(os.listdir(folder)):
        if not _is_hidden(name):
            kind = "folder" if (Path(folder) / name).is_dir() else Path(name).suffix.lower() or "without a suffix"
            kinds.setdefault(kind, []).append(name)
    held = [f"{len(names)} {kind} ({names[0]}{', ...' if len(names) > 1 else ''})" for kind, names in list(kinds.items())[:5]]
    hint = "; unpack archives first" if kinds.keys() & {".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"} else ""
    return f"; it holds {', '.join(held)}{hint}" if held else ", and the folder is empty"


def warn_of_left_out(folder, folders):
    """Warn of images that are not read: of other formats, and beside train/ and test/."""
    other = [path for part in folders for path in _images_below(part, OTHER_IMAGES)]
    if other:
        count = f"{len(other)} image{'s' if len(other) > 1 else ''}"
        _warn(f"left out, not PNG or JPEG: {count}, such as {other[0]}; convert them to use them")
    if folder not in folders:
        beside = [sub.name for sub in visible_folders(folder) if sub.name not in ("train", "test") and _images_below(sub)]
        beside += [path.name for path in _image_files(folder)]
        if beside:
            _warn(f"{folder}: of a folder with train/ or test/ only these are read; {_some(beside)} left out")


def _labelled(folder, folders, names):
    """The files of some folders, and for each the index of its class among the names ([] without classes)."""
    paths, labels = [], []
    for part in folders:
        found, index, classes = find_images(part)
        if classes is None:
            paths += found
            continue
        if unknown := [name for name in classes if name not in names]:
            raise ValueError(f"{part}: got the class {unknown[0]!r}, expected one of the run's classes: {_some(names)}")
        place = [names.index(name) for name in classes]
        pairs = sorted(zip((place[label] for label in index), found, strict=True), key=lambda pair: pair[0])
        labels += [label for label, _ in pairs]
        paths += [path for _, path in pairs]
    if labels and len(labels) != len(paths):
        raise ValueError(f"{folder}: one of train/ and test/ has class folders, the other has none")
    return paths, labels


def _image_files(folder):
    """The images directly in a folder, sorted as text, so that an old run gets its examples in the same order."""
    own = RUN_IMAGE if holds_run(folder) else None
    names = [entry.name for entry in os.scandir(folder) if not entry.is_dir()]
    return sorted(Path(folder) / name for name in names if _is_image(name) and not (own and own.fullmatch(name)))


def _images_below(folder, suffixes=SUFFIXES):
    """The images at any depth in a folder, sorted as text."""
    found = []
    for where, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [sub for sub in folders if not _is_hidden(sub) and not holds_run(os.path.join(where, sub))]
        found += [Path(where) / name for name in names if _is_image(name, suffixes)]
    return sorted(found)


def _is_image(name, suffixes=SUFFIXES):
    return os.path.splitext(name)[1].lower() in suffixes and not _is_hidden(name)


def _is_hidden(name):
    return name.startswith(".") or name.lower() in _SYSTEM


def _raise(error):
    raise error


def _warn(text):
    warnings.warn(text, stacklevel=2)


def _some(names, most=8):
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _shape(size):
    """(height, width) from the argument size; None stays None."""
    if size is None:
        return None
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(shape) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in shape):
        raise ValueError(f"size: got {size!r}, expected a side in pixels or (height, width)")
    return shape


def _as_array(labels):
    return np.array(labels, dtype=np.int64) if labels else None


def _size(image):
    return f"{image.shape[0]} x {image.shape[1]}"

"""A folder of a user's own PNG or JPEG files as a data set."""

from pathlib import Path

import numpy as np

SUFFIXES = {".png", ".jpg", ".jpeg"}


def find_images(folder):
    """The image files of a folder and their class names.

    Subfolders that hold images are the classes, in sorted order; images that lie in the folder itself have none.
    -> paths (sorted), labels (list of int) or None, class names (list) or None.   Raises ValueError for a mixture.
    """
    folder = Path(folder)
    loose = _image_files(folder.iterdir())
    inside = {sub.name: _image_files(sub.rglob("*")) for sub in _visible_folders(folder)}
    inside = {name: paths for name, paths in inside.items() if paths}
    if loose and inside:
        raise ValueError(
            f"{folder}: {len(loose)} images lie beside folders of images ({', '.join(inside)}): "
            "either all in class folders or none"
        )
    if not inside:
        return loose, None, None
    paths = [path for paths in inside.values() for path in paths]
    labels = [label for label, paths in enumerate(inside.values()) for _ in paths]
    return paths, labels, list(inside)


def split_folders(folder, split):
    """The folders that make up a split: of a folder with train/ and test/ in it those, of any other the folder itself."""
    folder = Path(folder)
    parts = [folder / part for part in ("train", "test") if (folder / part).is_dir()]
    if parts:
        return [part for part in parts if split in (part.name, "all")]
    return [folder] if split != "test" else []


def class_names(folder):
    """The names of the classes of a folder, in the order of the labels; None where it has none."""
    names = {name for part in split_folders(folder, "all") for name in find_images(part)[2] or ()}
    return tuple(sorted(names)) or None


def read_images(folder, split, size=None):
    """A folder of images   ->   images uint8 (N, H, W, C), labels int64 (N,) or None

    split   with subfolders train/ and test/, those; without, "train" and "all" are every image and "test" an error
    size    H = W, or (H, W): the middle of each image is cropped to that shape and resized; None leaves images as they are
    C is 1 when every file is grey, else 3. Transparency is laid over white; a camera's turned picture is turned upright.
    Raises ValueError where there is no image, a file cannot be read, or sizes differ and no size is given.
    """
    shape = _shape(size)
    folders = split_folders(folder, split)
    if not folders:
        raise ValueError(f"{folder}: nothing is held out here: make subfolders train/ and test/, or ask for split 'all'")
    names = class_names(folder) or ()
    paths, labels = [], []
    for part in folders:
        found, index, classes = find_images(part)
        paths += found
        labels += [names.index(classes[label]) for label in index or ()]
    if labels and len(labels) != len(paths):
        raise ValueError(f"{folder}: one of train/ and test/ has class folders, the other has none")
    if not paths:
        raise ValueError(f"{folder}: no image for split {split!r}: expected files ending in {', '.join(sorted(SUFFIXES))}")
    images = [_read(path, shape) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            raise ValueError(
                f"images differ in size: {paths[0]} is {_size(images[0])}, {path} is {_size(image)} "
                "(height x width): give size= to bring all to one"
            )
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1) for image in images]
        return np.stack(images), _labels(labels)  # (N, H, W, 3)
    return np.stack(images)[..., None], _labels(labels)  # (N, H, W, 1)


def _read(path, shape):
    """One file as uint8 (H, W) when it is grey, (H, W, 3) when it has colours."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16-bit grey: keep the upper byte
                image = Image.fromarray((np.asarray(image).astype(np.int64) // 256).clip(0, 255).astype(np.uint8))
            if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                grey = file.mode in ("LA", "L")
            else:
                grey = image.mode in ("1", "L")
            image = image.convert("L" if grey else "RGB")
            if shape is not None:
                image = ImageOps.fit(image, shape[::-1], method=Image.Resampling.LANCZOS)
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as e:  # Pillow raises all three for damaged files
        raise ValueError(f"{path}: cannot be read as an image ({e})") from None


def _shape(size):
    """(height, width) from what a caller gives as size; None stays None."""
    if size is None:
        return None
    shape = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(shape) != 2 or not all(isinstance(side, (int, np.integer)) and side >= 1 for side in shape):
        raise ValueError(f"size: got {size!r}, expected a side in pixels or (height, width)")
    return shape


def _image_files(paths):
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith("."))


def _visible_folders(folder):
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _labels(labels):
    return np.array(labels, dtype=np.int64) if labels else None


def _size(image):
    return f"{image.shape[0]} x {image.shape[1]}"

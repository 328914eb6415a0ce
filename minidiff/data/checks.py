"""Validation of images and labels that were read from files."""

import warnings

import numpy as np

CLASSES = 1000  # this many classes are always allowed, more if a quarter of them has an example


def images_and_labels(images, labels, images_name, labels_name):
    """Validate arrays read from a file.   ->   images uint8 (N, H, W, C), labels int64 (N,) or None

    Raises ValueError for other shapes or types, counts that differ, and labels that are not class numbers.
    """
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.size == 0:
        got = f"{images.dtype} {images.shape}"
        raise ValueError(f"{images_name}: got {got}, expected images uint8 (N, H, W) or (N, H, W, C), N >= 1")
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W, 1)
    if labels is None:
        return images, None
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{labels_name}: got {labels.dtype} {labels.shape}, expected whole numbers (N,)")
    if len(labels) != len(images):
        raise ValueError(f"{labels_name}: {len(labels)} labels for {len(images)} images in {images_name}")
    return images, class_numbers(labels, labels_name)


def class_numbers(labels, name):
    """Whole numbers (N,) as class labels int64 (N,).

    A model gets an embedding for each class from 0 to the largest, so one stray label costs memory. Raises ValueError for
    a negative one, and where the largest is CLASSES or more and fewer than a quarter of the classes have an example.
    """
    present = np.unique(labels)
    least, most = int(present[0]), int(present[-1])
    if least < 0:
        raise ValueError(f"{name}: image {int(labels.argmin())} has label {least}, expected class numbers from 0 up")
    if most >= max(CLASSES, 4 * len(present)):
        raise ValueError(
            f"{name}: image {int(labels.argmax())} has label {most}, but there are only {len(present)} different labels: "
            "expected class numbers 0, 1, 2, ..."
        )
    if least == 1 and most == len(present) > 1:
        text = f"{name}: the labels count from 1 to {most}, expected them to count from 0: class 0 has no image"
        warnings.warn(text, stacklevel=2)
    return labels.astype(np.int64)

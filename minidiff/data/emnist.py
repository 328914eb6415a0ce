"""Conversions for EMNIST (Cohen et al. 2017): its images are transposed, and the labels of "letters" begin at 1."""

import string

_DIGITS, _UPPER, _LOWER = tuple(string.digits), tuple(string.ascii_uppercase), tuple(string.ascii_lowercase)
_MERGED = (*_DIGITS, *_UPPER, *"abdefghnqrt")  # the other small letters look like their capitals
CLASS_NAMES = {
    "byclass": (*_DIGITS, *_UPPER, *_LOWER), "bymerge": _MERGED, "balanced": _MERGED, "letters": _UPPER, "digits": _DIGITS,
    "mnist": _DIGITS,
}  # fmt: skip


def as_usual(part, images, labels):
    """Transpose stored images (N, W, H) to (N, H, W), and shift the labels of "letters" from 1 to 26 to 0 to 25."""
    if images.ndim >= 3:
        images = images.swapaxes(1, 2)
    if part == "letters" and labels is not None and labels.size and labels.min() >= 1:
        labels = labels - 1
    return images, labels

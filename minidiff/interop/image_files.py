"""Images and masks from files, for image-to-image: resized as diffusers resizes them."""

import numpy as np

from ..data.image_file import open_image


def read_image(path, multiple=8, size=None, channels=3):
    """A PNG or JPEG file as float32 (H, W, channels) in [-1, 1], for `Pipeline.sample(image=...)`.

    multiple   height and width are resized down to a multiple of it (Lanczos, as diffusers does)
    size       (height, width) to resize to instead
    channels   3, or 1 for grey
    A camera's rotated image is turned upright, transparency is laid over white. Raises ValueError that names the file.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels: got {channels!r}, expected 1 or 3")
    image = _resized(open_image(path)[0], "RGB" if channels == 3 else "L", multiple, size)
    return np.asarray(image, dtype=np.float32).reshape(image.height, image.width, channels) / 127.5 - 1.0


def read_mask(path, size):
    """A PNG or JPEG file as float32 (H, W) from 0 (black, keep) to 1 (white, paint), of the image's (height, width)."""
    return np.asarray(_resized(open_image(path)[0], "L", 1, size), dtype=np.float32) / 255.0


def _resized(image, mode, multiple, size):
    from PIL import Image

    height, width = size or (image.height - image.height % multiple, image.width - image.width % multiple)
    if min(height, width) < 1:
        raise ValueError(f"image: got {image.height} x {image.width} pixels, expected at least {multiple} x {multiple}")
    if mode == "RGB":  # diffusers resizes in the file's own mode, a palette's numbers included; the colours are meant
        image = image.convert(mode)
    return image.resize((width, height), resample=Image.Resampling.LANCZOS).convert(mode)

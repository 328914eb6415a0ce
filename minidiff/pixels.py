"""Images as pixels: levels from 0 to 255, grids, PNG and GIF files. `viz` hands these on.

Images are float arrays in [-1, 1] or uint8, (N, H, W, C) or (N, H, W), C = 1 (grey) or 3 (RGB), on either device.
"""

import io
import warnings
from pathlib import Path

import numpy as np

from .backend import to_numpy
from .files import write_whole


def to_uint8(images):
    """Floats in [-1, 1] -> uint8 0 .. 255, rounded, values outside clipped; uint8 stays as it is. Any shape.

    NaN becomes black, infinity black or white, with a RuntimeWarning that counts them.
    """
    images = to_numpy(images)
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise TypeError(f"images: got {images.dtype}, expected floats in [-1, 1] or uint8")
    warn_not_finite(images, "images", "drawn black or white")
    with np.errstate(invalid="ignore"):
        levels = np.rint((images.astype(np.float64) + 1) * 127.5).clip(0, 255)
    return np.nan_to_num(levels).astype(np.uint8)


def image_grid(images, columns=None, gap=1, background=None):
    """Tile images into one, row by row.

    images (N, H, W, C) or (N, H, W)   ->   uint8 (rows * (H + gap) + gap, columns * (W + gap) + gap, C)
    columns: default about as many as rows; background: grey level of the gaps and of empty places, default white, or
    light grey where the images are white at their edges
    """
    images = batch(images)
    n, height, width, channels = images.shape
    if background is None:
        background = _gap_colour(images)
    columns = columns or max(1, round((n * height / width) ** 0.5))
    rows = -(-n // columns)
    grid = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), background, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def enlarge(image, scale):
    """Each pixel as a block of scale x scale.   (..., H, W, C) -> (..., H * scale, W * scale, C)"""
    return image.repeat(scale, axis=-3).repeat(scale, axis=-2)


def save_png(images, path, columns=None, scale=None):
    """One image (H, W, C), or a grid of a batch (N, H, W, C), as a PNG of sharp square pixels. Returns the path.

    scale: screen pixels a pixel; default: about 640 wide in all. Written atomically.
    """
    image = to_uint8(images) if np.ndim(images) == 3 else image_grid(images, columns)
    image = enlarge(image, scale or _scale(image))
    buffer = io.BytesIO()
    _pillow(image).save(buffer, "png")
    write_whole(path, [buffer.getvalue()])
    return Path(path)


def save_gif(frames, path, fps=12, hold=1.5, columns=None, scale=None):
    """A film, played for ever.   frames: images (H, W, C), or batches (N, H, W, C) that become grids. Returns the path.

    fps: frames a second; hold: seconds for which the last frame stays. Written whole or not at all.
    """
    frames = list(frames)
    if not frames:
        raise ValueError("frames: got none, expected at least one")
    gaps = _gap_colour(batch(frames[-1])) if np.ndim(frames[-1]) == 4 else None  # the same all through the film
    frames = [to_uint8(f) if np.ndim(f) == 3 else image_grid(f, columns, background=gaps) for f in frames]
    scale = scale or _scale(frames[0])
    pictures = [_pillow(enlarge(f, scale)) for f in frames]
    buffer = io.BytesIO()
    durations = [1000 // fps] * (len(pictures) - 1) + [int(1000 * hold)]  # milliseconds
    pictures[0].save(buffer, "gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    write_whole(path, [buffer.getvalue()])
    return Path(path)


def batch(images):
    """uint8 (N, H, W, C), C = 1 or 3."""
    images = to_uint8(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"images: got shape {images.shape}, expected (N, H, W), (N, H, W, 1) or (N, H, W, 3), N >= 1")
    return images


def _gap_colour(images):
    return 255 if np.median(images[:, 0]) < 230 else 205


def _scale(image):
    return max(1, round(640 / image.shape[1]))


def _pillow(image):
    from PIL import Image

    if image.shape[-1] not in (1, 3):
        raise ValueError(f"image: got shape {image.shape}, expected (H, W, 1) or (H, W, 3)")
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def warn_not_finite(values, name, shown):
    """Warn the caller's caller of how many values are NaN or infinite, and of how they are shown."""
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        warnings.warn(f"{name}: {bad} of {values.size} values are NaN or infinite, {shown}", RuntimeWarning, stacklevel=3)

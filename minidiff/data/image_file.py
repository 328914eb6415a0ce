"""Reads one PNG or JPEG file as an array. The content decides the format, not the name; no other format is decoded."""

import warnings

import numpy as np

from ..files import regular_file

SUFFIXES = {".png", ".jpg", ".jpeg"}
FORMATS = ("PNG", "JPEG")  # Pillow alone would guess among many, and run Ghostscript on a PostScript file
MOST_PIXELS = 8192 * 8192  # 200 MB decoded; compressed, a PNG of one colour is a thousand times smaller
DIM = 4096  # a sixteenth of the range of 16 bits
_STARTS = {
    b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"BM": "BMP", b"%!PS": "PostScript (EPS)", b"\xc5\xd0\xd3\xc6": "EPS",
    b"RIFF": "WebP", b"%PDF": "PDF", b"<svg": "SVG", b"<?xml": "XML", b"<!": "HTML", b"<html": "HTML", b"8BPS": "Photoshop",
    b"PK\3\4": "zip", b"\x1f\x8b": "gzip", b"version https://git-lfs": "a Git LFS pointer",
}  # fmt: skip


def read_image(path, shape=None):
    """One PNG or JPEG file   ->   uint8 (H, W) where it is grey, (H, W, 3) where it has colours

    shape   (height, width): the middle is cropped to that shape and resized; None leaves the size as it is
    16-bit values keep their upper byte. Transparency is composited over white; a camera's rotation is applied; an
    animation gives its first frame. Warns where 16-bit values are so low that the image is nearly black.
    Raises ValueError for other content, damaged files and more than MOST_PIXELS in the header.
    """
    image, dim = decode(path, shape)
    warn_of_dim([path] * dim, 1)
    return image


def decode(path, shape=None):
    """read_image without the warning.   ->   array, whether 16-bit values that are all low make it nearly black"""
    from PIL import Image, ImageOps

    image, dim = open_image(path)
    if shape is not None:
        image = ImageOps.fit(image, shape[::-1], method=Image.Resampling.LANCZOS)
    return np.array(image), dim


def open_image(path):
    """One PNG or JPEG file as `read_image` describes, not yet resized.   ->   PIL.Image in mode L or RGB, as in `decode`"""
    from PIL import Image

    path = regular_file(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is below Pillow's limits
            file = Image.open(path, formats=FORMATS)
        with file:
            if file.size[0] * file.size[1] > MOST_PIXELS:
                size = f"{file.size[1]:,} x {file.size[0]:,}"
                raise _TooLarge(f"{path}: the image has {size} pixels, expected at most {MOST_PIXELS:,}: make it smaller first")
            return _decode(file)
    except _TooLarge:
        raise
    except Image.UnidentifiedImageError:
        raise ValueError(f"{path}: cannot be read as an image: got {_content(path)}, expected PNG or JPEG") from None
    except Image.DecompressionBombError as error:  # Pillow's limit, which applies before the size is known here
        raise ValueError(f"{path}: {error}; expected at most {MOST_PIXELS:,} pixels: make it smaller first") from None
    except Exception as error:  # what Pillow raises for a damaged file depends on the damage: struct.error, KeyError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as an image ({reason})") from None


def warn_of_dim(dim, count):
    """One warning for all images that `decode` found nearly black: `dim` their paths, of `count` images."""
    if dim:
        some = dim[0] if count == 1 else f"{len(dim)} of {count} images, such as {dim[0]}"
        warnings.warn(
            f"{some}: a 16-bit image without a value above {DIM - 1} of 65535 comes out nearly black; "
            "if it holds 8-bit values, save it as an 8-bit file",
            stacklevel=2,
        )


class _TooLarge(ValueError):
    pass


def _decode(file):
    from PIL import Image, ImageOps

    deep, colour_type = _png_header(file)
    grey = file.mode in ("1", "L", "LA") or colour_type in (0, 4)
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16-bit grey, the only one that Pillow leaves at 16 bits
        image, largest = _upper_byte(image)
        dim = 0 < largest < DIM
    else:
        dim = deep and np.asarray(image)[..., :3].max() < DIM // 256
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if grey else "RGB"), bool(dim)


def _png_header(file):
    """(whether it has 16 bits a channel, colour type) of a PNG; (False, None) of a JPEG. Pillow keeps neither."""
    if file.format != "PNG":
        return False, None
    with open(file.filename, "rb") as raw:
        header = raw.read(26)
    return header[24] == 16, header[25]


def _upper_byte(image):
    """16-bit grey as 8-bit grey, its transparent value white, and the largest value."""
    from PIL import Image

    values = np.asarray(image).astype(np.int64)
    upper = (values // 256).clip(0, 255).astype(np.uint8)
    if isinstance(key := image.info.get("transparency"), int):
        upper[values == key] = 255
    return Image.fromarray(upper), int(values.max())


def _content(path):
    """What a file holds, judged by its first bytes."""
    with open(path, "rb") as file:
        start = file.read(32)
    if not start:
        return "an empty file"
    return next((name for magic, name in _STARTS.items() if start.lower().startswith(magic.lower())), "something else")

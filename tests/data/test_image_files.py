"""Image files as they come: the right value of every kind of PNG and JPEG, and hostile files.

Expected values are computed by hand from the specifications of PNG, EXIF and CMYK, not by the code under test; the limit on
pixels is seen to hold by the memory that a refusal takes.
"""

import io
import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from limits import peak_of

from minidiff import data
from minidiff.data import image_file

Image = pytest.importorskip("PIL.Image")


def png(array, colour_type, bits=16, size=None, extra=b""):
    """A PNG written from its specification. array (H, W, channels); colour type 0 grey, 2 RGB, 4 grey + alpha, 6 RGBA."""
    height, width = size or array.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in array)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def read(tmp_path, content, name="a.png"):
    (tmp_path / name).write_bytes(content)
    return image_file.read_image(tmp_path / name)


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_keep_the_upper_byte(tmp_path, colour_type, channels):
    values = np.arange(2 * 3 * channels).reshape(2, 3, channels) * 0x0A11 + 0x1234
    if channels in (2, 4):
        values[..., -1] = 0xFFFF  # opaque
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = read(tmp_path, png(values, colour_type))
    expected = values >> 8
    np.testing.assert_array_equal(image, expected[..., 0] if channels < 3 else expected[..., :3])


@pytest.mark.parametrize("colour_type, channels", [(0, 1), (2, 3), (6, 4)])
@pytest.mark.parametrize("most", [255, 4095])
def test_low_values_in_16_bits_are_warned_of(tmp_path, colour_type, channels, most):
    """8-bit values, or those of a 12-bit camera, in a 16-bit file: the upper byte of 255 is 0, of 4095 it is 15."""
    values = np.linspace(0, most, 2 * 3 * channels).astype(int).reshape(2, 3, channels)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(values, colour_type))
    with pytest.warns(UserWarning, match="2 of 2 images, such as .*a.png: a 16-bit image without a value above 4095 of 65535 "
                                         "comes out nearly black; if it holds 8-bit values, save it") as caught:  # fmt: skip
        data.load(tmp_path)
    assert len(caught) == 1


def test_black_is_black(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, png(np.zeros((2, 2, 1), int), 0)).tolist() == [[0, 0], [0, 0]]
        assert read(tmp_path, png(np.full((2, 2, 1), 3), 0, bits=8)).tolist() == [[3, 3], [3, 3]]


def test_transparency_over_white(tmp_path):
    """alpha a over white is (c a + 255 (255 - a)) / 255, for each kind of alpha that PNG has."""
    image = read(tmp_path, png(np.array([[[100, 0], [100, 51], [100, 255]]]), 4, bits=8))
    assert image.tolist() == [[255, 224, 100]]
    image = read(tmp_path, png(np.array([[[0, 100, 200, 51]]]), 6, bits=8))
    assert image.tolist() == [[[204, 224, 244]]]
    key = struct.pack(">I", 2) + b"tRNS" + struct.pack(">H", 0x4000) + struct.pack(">I", zlib.crc32(b"tRNS\x40\0"))
    image = read(tmp_path, png(np.array([[[0x4000], [0x4001]]]), 0, extra=key))  # one 16-bit grey is transparent
    assert image.tolist() == [[255, 0x40]]
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([250, 0, 0, 0, 0, 250])
    indexed.putpixel((1, 0), 1)
    out = io.BytesIO()
    indexed.save(out, "PNG", transparency=1)
    assert read(tmp_path, out.getvalue()).tolist() == [[[250, 0, 0], [255, 255, 255]]]


def test_one_bit_cmyk_and_palette(tmp_path):
    out = io.BytesIO()
    Image.fromarray(np.array([[True, False]])).save(out, "PNG")
    assert read(tmp_path, out.getvalue()).tolist() == [[255, 0]]
    for ink, colour in (((255, 0, 0, 0), (0, 255, 255)), ((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))):
        out = io.BytesIO()
        Image.new("CMYK", (8, 8), ink).save(out, "JPEG", quality=100)
        np.testing.assert_allclose(read(tmp_path, out.getvalue(), "a.jpg")[4, 4].astype(int), colour, atol=2)


@pytest.mark.parametrize("orientation, stored", [
    (1, lambda a: a), (2, lambda a: a[:, ::-1]), (3, lambda a: a[::-1, ::-1]), (4, lambda a: a[::-1]),
    (5, lambda a: a.T), (6, lambda a: np.rot90(a)), (7, lambda a: a[::-1, ::-1].T), (8, lambda a: np.rot90(a, -1)),
])  # fmt: skip
def test_exif_orientation(tmp_path, orientation, stored):
    """EXIF 2.3, tag 0x0112: how the stored rows and columns lie in the scene; 6 is stored turned 90 degrees anticlockwise."""
    scene = np.kron(np.array([[250, 10, 130], [60, 190, 220]], np.uint8), np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored(scene))).save(out, "JPEG", quality=100, exif=exif)
    np.testing.assert_allclose(read(tmp_path, out.getvalue(), "a.jpg").astype(int), scene, atol=3)


FORMATS = [("TIFF", "TIFF"), ("GIF", "GIF"), ("BMP", "BMP"), ("WEBP", "WebP"), ("PPM", "something")]


@pytest.mark.parametrize("form, found", FORMATS)
def test_other_formats_are_named_not_decoded(tmp_path, form, found):
    out = io.BytesIO()
    image = Image.new("F" if form == "TIFF" else "RGB", (4, 4))
    image.save(out, form, **({"save_all": True, "append_images": [image]} if form == "GIF" else {}))
    with pytest.raises(ValueError, match=f"a.png: cannot be read as an image: got {found}.*, expected PNG or JPEG$"):
        read(tmp_path, out.getvalue())


def test_no_program_is_run(tmp_path, monkeypatch):
    """A PostScript file by the name of a PNG: Pillow would hand it to `gs`. Here a `gs` that leaves a trace."""
    from PIL import EpsImagePlugin

    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # looked for once a process
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    with pytest.raises(ValueError, match=r"got PostScript .EPS., expected PNG or JPEG"):
        read(tmp_path, eps)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(OSError):  # the trap works: this is what an unrestricted Image.open does
        with Image.open(tmp_path / "a.png") as image:
            image.load()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("side", [8193, 13_000, 14_000, 30_000, 2**31 - 1])
def test_too_many_pixels(tmp_path, side):
    """The header alone decides: 13,000 x 13,000 in a 2 MB file would take 2 GB."""
    (tmp_path / "a.png").write_bytes(png(np.zeros((4, 4, 3)), 2, bits=8, size=(side, side)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peak, message = peak_of(lambda: image_file.read_image(tmp_path / "a.png"))
    assert "a.png: " in message and "expected at most 67,108,864" in message and "\n" not in message
    assert peak < 5


def test_as_many_pixels_as_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, "MOST_PIXELS", 12)
    assert read(tmp_path, png(np.zeros((3, 4, 3)), 2, bits=8)).shape == (3, 4, 3)
    with pytest.raises(ValueError, match="the image has 13 x 1 pixels, expected at most 12"):
        read(tmp_path, png(np.zeros((13, 1, 3)), 2, bits=8))


def test_a_damaged_orientation_is_one_line(tmp_path):
    """EXIF that ends after its first four bytes: Pillow raises struct.error, no kind of OSError or ValueError."""
    exif = struct.pack(">I", 4) + b"eXIfMM\0*" + struct.pack(">I", zlib.crc32(b"eXIfMM\0*"))
    with pytest.raises(ValueError, match=r"a.png: cannot be read as an image .unpack requires a buffer of 4 bytes."):
        read(tmp_path, png(np.zeros((1, 1, 1), int), 0, bits=8, extra=exif))


def test_damage_anywhere_is_one_line(tmp_path):
    """Every prefix and many flipped bytes of a PNG and of a JPEG with EXIF: an image, or one line with the file's name."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for form, name in (("PNG", "a.png"), ("JPEG", "a.jpg")):
        out = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(out, form, exif=exif)
        good = out.getvalue()
        rng = np.random.default_rng(0)
        damaged = [good[:n] for n in range(0, len(good), 7)]
        damaged += [good[:i] + bytes([rng.integers(256)]) + good[i + 1 :] for i in rng.integers(len(good), size=150)]
        for content in damaged:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow's, on odd EXIF
                    image = read(tmp_path, content, name)
            except ValueError as error:
                assert name in str(error) and "\n" not in str(error)
            else:
                assert image.dtype == np.uint8

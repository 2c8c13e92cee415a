"""Every kind of image file becomes the right uint8 RGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sundog.core.errors import DataError
from sundog.data import decode
from sundog.data.decode import check_header, decode_image


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rgb(height=6, width=4, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_rgb_files_keep_their_pixels():
    pixels = rgb()
    for kind in ("PNG", "BMP", "PPM", "TIFF"):
        got = decode_image(encoded(Image.fromarray(pixels), kind))
        np.testing.assert_array_equal(got, pixels)
        assert got.dtype == np.uint8
        assert got.flags.writeable
    assert check_header(encoded(Image.fromarray(pixels))) == (6, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    # The EXIF standard: where row 0 and column 0 of the stored image are, as seen.
    upright = np.zeros((16, 24, 3), dtype=np.uint8)
    upright[:8, :12] = 255  # bright upper left quarter
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = decode_image(encoded(image, "JPEG", exif=exif, quality=95, subsampling=0))
    assert got.shape == upright.shape
    np.testing.assert_allclose(got.astype(int), upright.astype(int), atol=6)


def test_grey_and_bilevel_are_repeated():
    grey = rgb()[:, :, 0]
    got = decode_image(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(got, np.repeat(grey[:, :, None], 3, axis=2))
    bits = Image.fromarray((grey > 127).astype(np.uint8) * 255).convert("1")
    got = decode_image(encoded(bits))
    np.testing.assert_array_equal(got[:, :, 0], np.where(grey > 127, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    values = np.array([[0, 128, 257, 40000], [65535, 65000, 300, 1000]], dtype=np.uint16)
    got = decode_image(encoded(Image.fromarray(values), kind))
    expected = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(got[:, :, 1], expected)


def test_float_grey_is_read_in_zero_one_only():
    values = np.array([[0, 0.25], [0.5, 1]], dtype=np.float32)
    got = decode_image(encoded(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(got[:, :, 0], [[0, 64], [128, 255]])
    for bad in (np.nan, 2.0):
        with pytest.raises(DataError, match="finite and in"):
            decode_image(encoded(Image.fromarray(np.full((2, 2), bad, np.float32)), "TIFF"))


def test_transparency_is_composited_on_white():
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, 0] = 200
    pixels[0, :, 3] = (0, 128, 255)
    got = decode_image(encoded(Image.fromarray(pixels, "RGBA")))[0].astype(int)
    expected = [[255, 255, 255], [227, 127, 127], [200, 0, 0]]
    np.testing.assert_allclose(got, expected, atol=1)
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    np.testing.assert_array_equal(decode_image(encoded(palette)), [[[10, 20, 30], [40, 50, 60]]])
    np.testing.assert_array_equal(
        decode_image(encoded(palette, transparency=0)), [[[255, 255, 255], [40, 50, 60]]]
    )
    grey_alpha = Image.fromarray(np.array([[[90, 0], [90, 255]]], dtype=np.uint8), "LA")
    np.testing.assert_array_equal(
        decode_image(encoded(grey_alpha)), [[[255, 255, 255], [90, 90, 90]]]
    )


def test_cmyk_jpeg_has_the_right_colours():
    ink = np.zeros((16, 16, 4), dtype=np.uint8)
    ink[:, :8] = (0, 255, 255, 0)  # magenta + yellow ink: red
    ink[:, 8:] = (0, 0, 0, 255)  # black ink
    for kind in ("JPEG", "TIFF"):
        options = {"quality": 95} if kind == "JPEG" else {}
        got = decode_image(encoded(Image.fromarray(ink, "CMYK"), kind, **options))
        np.testing.assert_allclose(got[8, 3].astype(int), [255, 0, 0], atol=8)
        np.testing.assert_allclose(got[8, 12].astype(int), [0, 0, 0], atol=8)


def test_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), c) for c in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(data), np.full((4, 4, 3), (255, 0, 0)))


def test_broken_files_say_why(monkeypatch):
    whole = encoded(Image.fromarray(rgb(64, 64)), "JPEG")
    with pytest.raises(DataError, match="truncated"):
        decode_image(whole[: len(whole) // 2])
    assert check_header(whole[: len(whole) // 2]) == (64, 64)  # the header is whole
    png = encoded(Image.fromarray(rgb(64, 64)))
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(png[: len(png) // 2])
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(bytes(flipped))
    with pytest.raises(DataError, match="empty"):
        check_header(b"")
    with pytest.raises(DataError, match="not an image"):
        check_header(b"hello, I am a text")
    monkeypatch.setattr(decode, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="4096 pixels"):
        check_header(png)


def test_decompression_bomb_is_refused_by_its_header():
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b""))
    with pytest.raises(DataError, match="DecompressionBomb"):
        check_header(bomb + chunk(b"IEND", b""))

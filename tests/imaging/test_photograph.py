"""PNG and JPEG come out as any viewer shows them: upright, without transparency, in their own colours."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageOps

from radserve_imaging import ImagePolicy, ImagingError, Limits, Reading, Window, encode_png, render

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
SMOOTH = np.dstack([np.add.outer(np.arange(40) * k, np.arange(60)) % 256 for k in (1, 2, 3)]).astype(np.uint8)


def save(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def refuse(data, **options):
    with pytest.raises(ImagingError) as caught:
        render(data, ImagePolicy(), **options)
    return caught.value


def test_png_survives_encoding_and_rendering(full_size):
    assert np.array_equal(full_size(encode_png(RGB)).pixels, RGB)
    record = full_size(encode_png(RGB)).record
    assert (record.media_type, record.voi, record.sop_class) == ("image/png", None, None)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_every_opaque_png_mode_looks_as_pillow_says(full_size, mode):
    image = Image.fromarray(RGB).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(full_size(save(image, "PNG")).pixels, expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_the_background(full_size, mode):
    clear = np.zeros((4, 4, len(mode)), np.uint8)
    clear[0, 0] = 255
    shown = full_size(save(Image.fromarray(clear, mode), "PNG"), background=99).pixels
    assert shown[0, 0].tolist() == [255] * 3
    assert shown[2, 2].tolist() == [99] * 3


def test_a_transparent_palette_entry_is_background(full_size):
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0])
    shown = full_size(save(image, "PNG", transparency=0), background=7).pixels
    assert shown[0].tolist() == [[7, 7, 7], [0, 255, 0]]


def test_16_bit_grey_png_shows_its_full_range_or_the_window_asked_for(full_size):
    """Twelve bits of CT in a 16-bit PNG would be nearly black at face value."""
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    data = save(Image.fromarray(ramp), "PNG")
    rendering = full_size(data)
    assert rendering.record.voi.source == "full range"
    assert (rendering.pixels.min(), rendering.pixels.max()) == (0, 255)
    windowed = full_size(data, Reading(window=Window(100, 20))).pixels
    assert windowed[ramp < 90].max() == 0 and windowed[ramp > 110].min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_honoured(full_size, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(Image.fromarray(SMOOTH), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB")).astype(int)
    shown = full_size(data).pixels
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 2


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_colours_are_those_of_other_decoders(full_size, options):
    data = save(Image.fromarray(SMOOTH), "JPEG", quality=90, **options)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image).astype(int)
    assert np.abs(full_size(data).pixels - expected).mean() < 1


def test_grey_jpeg_has_three_equal_channels(full_size):
    shown = full_size(save(Image.fromarray(SMOOTH[:, :, 0]), "JPEG")).pixels
    assert shown.shape == (40, 60, 3)
    assert np.array_equal(shown[:, :, 0], shown[:, :, 2])


def test_cmyk_is_refused_with_the_way_out():
    error = refuse(save(Image.fromarray(RGB).convert("CMYK"), "JPEG"))
    assert error.code == "unsupported_photometric"
    assert "RGB" in str(error)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_truncated_picture_is_refused_not_half_shown(kind, keep):
    data = save(Image.fromarray(SMOOTH), kind)
    assert refuse(data[: int(len(data) * keep)]).code == "corrupt_pixel_data"


def test_declared_size_is_checked_before_decoding():
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert refuse(png).code == "too_large"
    jpeg = imagecodecs.jpeg8_encode(RGB)
    assert refuse(jpeg, limits=Limits(max_pixels=599)).code == "too_large"
    assert refuse(jpeg, limits=Limits(max_side=29)).code == "too_large"


def test_requests_that_make_no_sense_for_a_picture_are_refused():
    data = encode_png(RGB)
    assert refuse(data, reading=Reading(window=Window(40, 400))).code == "invalid_window"
    assert refuse(data, reading=Reading(frame=2)).code == "invalid_frame"
    assert render(data, ImagePolicy(), Reading(frame=1)).record.frame == 1

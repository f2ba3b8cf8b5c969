"""Palette colour: each pixel's colour is what another library, or the segments written out by hand, say."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut

from radserve_imaging import ImagePolicy, ImagingError, Reading, render

INDEX = np.arange(256, dtype=np.uint8).reshape(16, 16)
PALETTE = {"PhotometricInterpretation": "PALETTE COLOR", "modality": "US"}


def words(*values):
    return np.asarray(values, "<u2").tobytes()


def build_palette(build, data, *, segmented, entries=256, bits=16):
    dataset = pydicom.dcmread(io.BytesIO(build(INDEX, **PALETTE)))
    for channel in range(3):
        dataset.add_new(0x00281101 + channel, "US", [entries % 65536, 0, bits])
        dataset.add_new((0x00281221 if segmented else 0x00281201) + channel, "OW", data)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.checks("Photometric interpretations: PALETTE COLOR", "Objects: US")
def test_plain_palettes_of_real_files(corpus, full_size):
    compared = 0
    for path, row in corpus:
        if row["photometric"] != "PALETTE COLOR" or not row["file"].startswith("decodable"):
            continue
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = row["ts"]
        rendering = full_size(path.read_bytes(), Reading(frame=1))
        stored = dataset.pixel_array
        indices = stored[0] if stored.ndim == 3 else stored
        colours = apply_color_lut(indices, dataset)
        # pydicom reads big endian palettes the wrong way round, which here leaves their upper byte.
        levels = colours if colours.max() < 256 else colours >> 8
        assert np.array_equal(rendering.pixels, levels), path.name
        compared += 1
    assert compared == 8


@pytest.mark.checks("Photometric interpretations: PALETTE COLOR")
def test_linear_and_discrete_segments(build, full_size):
    """100 entries rise to 9900, 100 stay, 55 fall to 0; the first is discrete."""
    data = words(0, 1, 0, 1, 100, 9900, 1, 100, 9900, 1, 55, 0)
    levels = np.concatenate(([0], np.arange(1, 101) * 99, np.full(100, 9900), 9900 - np.arange(1, 56) * 180))
    shown = full_size(build_palette(build, data, segmented=True)).pixels[:, :, 0].ravel()
    assert np.array_equal(shown, levels // 256)


def test_an_indirect_segment_repeats_earlier_ones(build, full_size):
    """The first two segments, 128 entries, come twice: two segments from byte 0."""
    data = words(0, 1, 1000, 1, 127, 65000, 2, 2, 0, 0)
    ramp = np.rint(1000 + np.arange(0, 128) * (64000 / 127)).astype(int)
    shown = full_size(build_palette(build, data, segmented=True)).pixels[:, :, 1].ravel()
    assert np.array_equal(shown, np.concatenate((ramp, ramp)) // 256)


@pytest.mark.parametrize(
    "data",
    [
        words(0, 1, 0),
        words(1, 256, 9900),
        words(7, 256, 1),
        words(0, 1, 0, 2, 9, 0xFFFF, 0xFFFF),
        words(0, 1, 0, 2, 1, 6, 0),
    ],
)
def test_segments_that_make_no_sense_are_refused(build, data):
    with pytest.raises(ImagingError, match="entries") as caught:
        render(build_palette(build, data, segmented=True), ImagePolicy())
    assert caught.value.code == "invalid_attribute"


def test_8_bit_levels_in_a_palette_declared_as_16_bits_are_not_black(build, full_size):
    data = words(*range(256))
    shown = full_size(build_palette(build, data, segmented=False)).pixels[:, :, 2].ravel()
    assert np.array_equal(shown, np.arange(256))


def test_a_missing_palette_is_named(build):
    with pytest.raises(ImagingError, match=r"\(0028,1201\)") as caught:
        render(build(INDEX, **PALETTE), ImagePolicy())
    assert caught.value.code == "unsupported_photometric"

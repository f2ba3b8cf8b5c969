"""CT: HU are exact whatever the sign, the bits and the byte order, and a window shows what a viewer shows."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from radserve_imaging import ImagePolicy, Reading, Window, render

SOFT_TISSUE = Window(40, 400)
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


@pytest.fixture(scope="module")
def hu():
    """Air, fat, water, tissue, bone, metal and all between; 64 × 64 HU."""
    return np.linspace(-1024, 3000, 64 * 64).astype(np.int64).reshape(64, 64)


@pytest.mark.checks(
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "Objects: CT",
    "Pixels: modality LUT",
)
@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_values_are_exact_in_every_native_encoding(build, hounsfield, hu, kind, syntax):
    intercept = -1024 if kind == "u2" else 0
    stored = (hu - intercept).astype(kind)
    data = build(stored, RescaleSlope=1, RescaleIntercept=intercept, syntax=syntax)
    assert np.array_equal(hounsfield(data), hu)


def test_unsigned_ct_with_negative_intercept_shows_air_black(build, full_size):
    """Cast back to unsigned, −1000 HU becomes 64536 and renders white."""
    air = np.full((8, 8), 24, np.uint16)
    air[0, 0] = 1064  # 40 HU
    shown = full_size(build(air, RescaleSlope=1, RescaleIntercept=-1024), ct_window=SOFT_TISSUE).pixels
    assert shown[4, 4].tolist() == [0, 0, 0]
    assert shown[0, 0].tolist() == [128, 128, 128]


@pytest.mark.checks("Values of interest: LINEAR")
def test_soft_tissue_window_runs_from_minus_160_to_239(build, full_size):
    """A sign error would start it at 135; forgetting the half, at −160.5 and 240."""
    ramp = np.arange(-170, 250, dtype=np.int16).reshape(20, 21)
    data = build(ramp, RescaleSlope=1, RescaleIntercept=0)
    shown = full_size(data, ct_window=SOFT_TISSUE).pixels[:, :, 0].astype(int)
    expected = np.clip(np.floor((ramp + 160) / 399 * 255 + 0.5), 0, 255).astype(int)
    assert np.array_equal(shown, expected)
    assert ramp[shown == 0].max() == -160
    assert ramp[shown == 255].min() == 239
    assert shown[ramp == -159] == 1 and shown[ramp == 238] == 254


@pytest.mark.checks("Pixels: sign and high bit")
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_signed_values_narrower_than_their_words_are_extended(build, hounsfield, bits):
    stored = np.arange(-512, 512, dtype=np.int16).reshape(32, 32)
    garbage = (stored.view(np.uint16) & (2**bits - 1)) | np.uint16(2**15)  # an old overlay in the top bit
    data = build(garbage.view(np.int16), BitsStored=bits, RescaleSlope=1, RescaleIntercept=0)
    assert np.array_equal(hounsfield(data), stored)


@pytest.mark.checks("Pixels: sign and high bit")
def test_high_bit_above_the_stored_bits_shifts(build, hounsfield):
    stored = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    data = build(stored << 4, BitsStored=12, HighBit=15, RescaleSlope=1, RescaleIntercept=-500)
    assert np.array_equal(hounsfield(data), stored.astype(int) - 500)


def test_fractional_slope_is_applied_in_floating_point(build, full_size):
    stored = np.arange(256, dtype=np.uint16).reshape(16, 16)
    data = build(stored, RescaleSlope="0.5", RescaleIntercept="-10")
    shown = full_size(data, Reading(window=Window(50, 100, "LINEAR_EXACT"))).pixels[:, :, 0]
    ideal = np.clip((stored * 0.5 - 10) / 100, 0, 1) * 255
    assert np.abs(shown - ideal).max() <= 0.5 + 1e-9


def test_real_ct_matches_its_published_values(testfile, hounsfield):
    """CT_small.dcm is signed, 16 bit, with intercept −1024: pydicom reads the same stored values."""
    data = testfile("CT_small.dcm")
    expected = pydicom.dcmread(io.BytesIO(data)).pixel_array.astype(np.int64) - 1024
    assert np.array_equal(hounsfield(data), expected)


@pytest.mark.checks("Pixels: padding")
def test_padding_is_darkest_and_uncounted(build, full_size):
    stored = np.full((32, 32), 1000, np.int16)
    stored[8:24, 8:24] = np.linspace(0, 100, 256).reshape(16, 16)
    data = build(stored, modality="MR", PixelPaddingValue=1000, PhotometricInterpretation="MONOCHROME2")
    rendering = full_size(data)
    assert rendering.pixels[0, 0, 0] == 0
    assert rendering.record.voi.source == "percentiles"
    assert rendering.record.voi.center + rendering.record.voi.width / 2 <= 100


@pytest.mark.checks("Pixels: padding")
def test_padding_range_and_wrongly_signed_padding_are_understood(build, full_size):
    """−2000 written as 63536 in an image of signed values is still −2000; the range reaches to −1990."""
    stored = np.array([[-2000, -1995, -1990, -1989], [0, 50, 100, 200]], np.int16)
    data = build(stored, modality="CR", PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)
    inverted = full_size(build_inverted(build, stored)).pixels[:, :, 0]
    assert inverted[0, :3].tolist() == [0, 0, 0] and inverted[0, 3] == 255
    assert full_size(data).record.voi.center == (-1989 + 200) / 2


def build_inverted(build, stored):
    """The same frame as MONOCHROME1, where the lowest values would be white were they not padding."""
    return build(
        stored,
        modality="CR",
        PhotometricInterpretation="MONOCHROME1",
        PixelPaddingValue=-2000,
        PixelPaddingRangeLimit=-1990,
    )


def test_ct_whose_values_are_not_hounsfield_gets_no_ct_window(build, full_size):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for attributes in (
        {},
        {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "US"},
        {"RescaleSlope": 1, "RescaleIntercept": 0},
    ):
        record = full_size(build(stored, **attributes), ct_window=SOFT_TISSUE).record
        assert record.voi.source == "full range"
        assert any("HU" in warning for warning in record.warnings)


def test_a_real_ct_slice_shows_air_black_and_tissue_grey(testfile):
    shown = render(testfile("J2K_pixelrep_mismatch.dcm"), ImagePolicy(ct_window=SOFT_TISSUE)).pixels
    assert shown[:8].max() == 0
    assert 0.1 < (shown > 60).mean() < 0.9

"""Overlay planes: left out unless asked for, then white where another library reads a bit."""

import io

import numpy as np
import pydicom
import pytest

from radserve_imaging import ImagePolicy, Reading, encode_png, render
from radserve_imaging.errors import ImagingError

DARK = np.zeros((32, 48), np.uint16)


def with_overlay(image, bits, origin=(1, 1), frames=None, group=0x6000):
    dataset = pydicom.dcmread(io.BytesIO(image))
    rows, columns = bits.shape[-2:]
    dataset.add_new((group, 0x0010), "US", rows)
    dataset.add_new((group, 0x0011), "US", columns)
    dataset.add_new((group, 0x0040), "CS", "G")
    dataset.add_new((group, 0x0050), "SS", list(origin))
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    if frames:
        dataset.add_new((group, 0x0015), "IS", frames)
    packed = np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()
    dataset.add_new((group, 0x3000), "OW", packed + b"\0" * (len(packed) % 2))
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.checks("Pixels: overlays")
def test_a_real_overlay_is_drawn_where_pydicom_reads_it(testfile, full_size):
    data = testfile("examples_overlay.dcm")
    plane = pydicom.dcmread(io.BytesIO(data)).overlay_array(0x6000)
    without, drawn = full_size(data), full_size(data, Reading(overlays=True))
    expected = np.where(plane[:, :, None] > 0, 255, without.pixels)
    assert plane.any()
    assert np.array_equal(drawn.pixels, expected)
    assert drawn.record.overlays and not without.record.overlays
    assert any("not drawn" in warning for warning in without.record.warnings)
    assert not any("not drawn" in warning for warning in drawn.record.warnings)


@pytest.mark.parametrize("origin", [(1, 1), (5, 9), (-2, -3), (30, 45)])
def test_it_lies_where_its_origin_says(build, full_size, origin):
    bits = np.ones((8, 10), np.uint8)
    data = with_overlay(build(DARK, modality="CR"), bits, origin)
    shown = full_size(data, Reading(overlays=True)).pixels[:, :, 0]
    expected = np.zeros(DARK.shape, np.uint8)
    top, left = origin[0] - 1, origin[1] - 1
    expected[max(0, top) : max(0, top + 8), max(0, left) : max(0, left + 10)] = 255
    assert np.array_equal(shown, expected)


def test_each_frame_has_its_own(build, full_size):
    bits = np.zeros((2, 4, 4), np.uint8)
    bits[0, 0, 0] = bits[1, 3, 3] = 1
    data = with_overlay(build(np.zeros((2, 4, 4), np.uint8), modality="US"), bits, frames=2)
    for frame in (1, 2):
        shown = full_size(data, Reading(frame=frame, overlays=True)).pixels[:, :, 0]
        assert np.array_equal(shown, bits[frame - 1] * 255)


def test_two_planes_are_both_drawn(build, full_size):
    first, second = np.eye(4, dtype=np.uint8), np.fliplr(np.eye(4, dtype=np.uint8))
    data = with_overlay(
        with_overlay(build(np.zeros((4, 4), np.uint8), modality="OT"), first), second, group=0x6002
    )
    assert np.array_equal(full_size(data, Reading(overlays=True)).pixels[:, :, 0], (first | second) * 255)


def test_bits_that_are_not_there_are_told(build, full_size):
    data = with_overlay(build(DARK, modality="CR"), np.ones((4, 4), np.uint8))
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset[0x60000010].value = 4000
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    record = full_size(out.getvalue(), Reading(overlays=True)).record
    assert any("makes no sense" in warning for warning in record.warnings)


def test_a_photograph_has_none():
    with pytest.raises(ImagingError):
        render(encode_png(np.zeros((4, 4, 3), np.uint8)), ImagePolicy(), Reading(overlays=True))

"""Large JPEG 2000 frames are decoded at the resolution that the canvas needs, where nothing depends on each value."""

import struct

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless

from radserve_imaging import ImagePolicy, Reading, Window, render
from radserve_imaging.compressed import decode_compressed
from radserve_imaging.header import PixelHeader
from radserve_imaging.jpeg2000 import read_jpeg2000
from radserve_imaging.resolution import decode_reduced, droppable_levels

POLICY = ImagePolicy(width=224, height=224)
ENCODERS = {
    "jpeg 2000": (JPEG2000Lossless, lambda x, bits: encode(x, bits)),
    "htj2k": (HTJ2KLossless, lambda x, bits: bytes(imagecodecs.htj2k_encode(x, reversible=True))),
}
WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def encode(stored, bits, **options):
    return bytes(
        imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, bitspersample=bits, **options)
    )


def header_of(stored, bits, **attributes):
    colour = stored.ndim == 3
    values = {
        "rows": stored.shape[0],
        "columns": stored.shape[1],
        "samples": 3 if colour else 1,
        "photometric": "RGB" if colour else "MONOCHROME2",
        "planar": False,
        "bits_allocated": 8 * stored.dtype.itemsize,
        "bits_stored": bits,
        "high_bit": bits - 1,
        "signed": stored.dtype.kind == "i",
        "floating": False,
        "frames": 1,
    }
    return PixelHeader(**{**values, **attributes})


@pytest.fixture(scope="module")
def x_ray():
    """1,300 × 1,100 px of 12 bits: gradients, edges and noise."""
    y, x = np.mgrid[:1300, :1100]
    body = 1800 + 900 * np.sin(x / 170) * np.cos(y / 210) + 600 * (np.hypot(x - 500, y - 700) < 260)
    noise = np.random.default_rng(0).normal(0, 25, body.shape)
    return np.clip(body + noise, 0, 4095).astype(np.uint16)


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 12, 13, 15, 16])
@pytest.mark.parametrize("kind", ["u", "i"])
def test_pillow_s_shifts_and_offsets_are_undone_to_the_bit(bits, kind):
    """At full resolution both decoders must agree: Pillow moves 12 bits up by 4 and adds 2,048 to signed ones."""
    low = -(2 ** (bits - 1)) if kind == "i" else 0
    stored = np.random.default_rng(bits).integers(low, low + 2**bits, (37, 53))
    frame = encode(stored.astype(f"{kind}{1 if bits <= 8 else 2}"), bits)
    found = decode_reduced(frame, read_jpeg2000(frame), 0)
    expected = imagecodecs.jpeg2k_decode(frame)
    assert np.array_equal(found, expected) and np.array_equal(found, stored)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2"])
def test_htj2k_agrees_to_the_bit(kind):
    limits = np.iinfo(kind)
    stored = np.random.default_rng(0).integers(limits.min, limits.max, (40, 30), endpoint=True).astype(kind)
    frame = bytes(imagecodecs.htj2k_encode(stored, reversible=True))
    assert np.array_equal(decode_reduced(frame, read_jpeg2000(frame), 0), stored)


def test_colour_agrees_to_the_bit():
    stored = np.random.default_rng(1).integers(0, 256, (33, 47, 3)).astype(np.uint8)
    frame = encode(stored, 8)
    assert np.array_equal(decode_reduced(frame, read_jpeg2000(frame), 0), stored)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_what_is_left_stands_on_every_second_pixel(levels, kind):
    """The filters keep a ramp as it is: sample n of what is left has the value, and so the place, of pixel 2n."""
    stored = np.add.outer(np.arange(256) * 5, np.arange(192) * 3).astype(np.int64) - (
        900 if kind == "i2" else 0
    )
    frame = encode(stored.astype(kind), 12)
    decoded = decode_compressed(frame, "jpeg2000", header_of(stored.astype(kind), 12), levels)
    inner = slice(1, -2)
    assert decoded.levels == levels
    assert decoded.values.dtype == kind
    assert np.abs(decoded.values - stored[:: 2**levels, :: 2**levels])[inner, inner].max() <= 1


@pytest.mark.parametrize(
    ("size", "target", "levels"),
    [
        ((2500, 2048), (448, 367), 1),
        ((2500, 2048), (224, 183), 2),
        ((2500, 2048), (1250, 1024), 0),
        ((2500, 2048), (625, 512), 1),
        ((2500, 2048), (626, 512), 0),
        ((4664, 3064), (14, 14), 5),
        ((999, 1000), (56, 56), 0),
    ],
)
def test_twice_the_canvas_is_always_left(size, target, levels):
    header = header_of(np.zeros(size, np.uint16), 12)
    assert droppable_levels(header, (target[1], target[0]), "DX", False) == levels
    if levels:
        assert min(s / 2**levels / t for s, t in zip(size, target, strict=True)) >= 2


@pytest.mark.checks("Pixels: reduced resolution")
@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_values_that_are_measured_are_decoded_in_full(modality):
    header = header_of(np.zeros((2500, 2048), np.uint16), 12)
    assert droppable_levels(header, (100, 100), modality, False) == 0
    assert droppable_levels(header, (100, 100), "DX", True) == 0
    palette = header_of(np.zeros((2500, 2048), np.uint8), 8, photometric="PALETTE COLOR")
    assert droppable_levels(palette, (100, 100), "US", False) == 0


def test_no_more_levels_are_left_out_than_there_are():
    stored = np.random.default_rng(0).integers(0, 4096, (96, 96)).astype(np.uint16)
    for resolutions, expected in ((1, 0), (2, 1), (4, 3)):
        frame = encode(stored, 12, resolutions=resolutions)
        assert decode_compressed(frame, "jpeg2000", header_of(stored, 12), 4).levels == expected


def test_codes_whose_sign_the_codestream_does_not_know_are_decoded_in_full():
    """Filters would take −1, stored as 65535, for the brightest value."""
    stored = np.arange(-2048, 2048).astype(np.int16).reshape(64, 64)
    frame = encode(stored.view(np.uint16), 16)
    decoded = decode_compressed(frame, "jpeg2000", header_of(stored, 16), 1)
    assert decoded.levels == 0 and np.array_equal(decoded.values, stored)


def test_what_rings_above_the_stored_bits_stays_white():
    """12 bits in a codestream of 16: the filter overshoots 4095 at edges, and a mask would make that black."""
    stored = np.zeros((128, 128), np.uint16)
    stored[:, 31:] = 4095
    decoded = decode_compressed(encode(stored, 16), "jpeg2000", header_of(stored, 12), 1)
    assert decoded.levels == 1
    assert decoded.values.max() == 4095
    assert decoded.values[:, 16:].min() > 4000


@pytest.mark.checks("Pixels: reduced resolution")
@pytest.mark.parametrize("name", ENCODERS)
def test_an_x_ray_looks_the_same_and_the_record_tells(build, x_ray, name):
    syntax, encoder = ENCODERS[name]
    attributes = {"modality": "DX", "BitsStored": 12, "PixelSpacing": [2, 1], **WINDOW}
    exact = render(build(x_ray, **attributes), POLICY)
    data = build(x_ray, syntax=syntax, frames=[encoder(x_ray, 12)], **attributes)
    rendering = render(data, POLICY)
    assert rendering.record.size_in == exact.record.size_in == (1100, 1300)
    assert exact.record.decoded_size == (1100, 1300)
    assert rendering.record.decoded_size == (550, 650)
    assert rendering.record.placement == exact.record.placement
    difference = np.abs(rendering.pixels.astype(int) - exact.pixels)
    assert 0 < difference.mean() < 0.6 and difference.max() <= 12


@pytest.mark.parametrize("side", [224, 100])
def test_nothing_is_shifted(build, side):
    """A steep ramp in both directions: half a pixel of the frame is one grey level and more."""
    ramp = np.add.outer(np.arange(1200), np.arange(1100)).astype(np.uint16)
    attributes = {"modality": "DX", "BitsStored": 12, "WindowCenter": 1150, "WindowWidth": 130}
    policy = ImagePolicy(width=side, height=side)
    exact = render(build(ramp, **attributes), policy)
    reduced = render(build(ramp, syntax=JPEG2000Lossless, frames=[encode(ramp, 12)], **attributes), policy)
    assert reduced.record.decoded_size[0] < 1100
    slope = (exact.pixels > 20) & (exact.pixels < 235)
    assert slope.sum() > 1000
    assert abs((reduced.pixels.astype(int) - exact.pixels)[slope].mean()) < 0.3


@pytest.mark.parametrize(
    "attributes",
    [{"modality": "CT", **WINDOW}, {"PixelPaddingValue": 0, **WINDOW}, {}],
)
def test_frames_that_need_every_value_are_decoded_in_full(build, x_ray, attributes):
    """The last has no window: it is shown from its least to its greatest value, which a filter would change."""
    attributes = {"modality": "DX", "BitsStored": 12, **attributes}
    data = build(x_ray, syntax=JPEG2000Lossless, frames=[encode(x_ray, 12)], **attributes)
    assert render(data, POLICY).record.decoded_size == (1100, 1300)


def test_overlays_may_stand_in_unused_bits_and_are_not_filtered(build, x_ray):
    data = build(
        x_ray, syntax=JPEG2000Lossless, frames=[encode(x_ray, 12)], modality="DX", BitsStored=12, **WINDOW
    )
    at = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    overlay = struct.pack("<HH2sHH", 0x6000, 0x0010, b"US", 2, 4)
    assert render(data, POLICY).record.decoded_size == (550, 650)
    assert render(data[:at] + overlay + data[at:], POLICY).record.decoded_size == (1100, 1300)


def test_a_window_that_shows_nothing_gives_way_to_the_range_of_all_pixels(build, x_ray):
    stored = x_ray.copy()
    stored[650, 550] = 4095  # one hot pixel, which a filter would lower
    data = build(
        stored,
        syntax=JPEG2000Lossless,
        frames=[encode(stored, 12)],
        modality="DX",
        BitsStored=12,
        WindowCenter=40000,
        WindowWidth=2,
    )
    voi = render(data, POLICY).record.voi
    assert voi.source == "full range"
    assert voi.center + voi.width / 2 == 4095


def test_a_requested_window_is_applied_at_either_resolution(build, x_ray):
    data = build(x_ray, syntax=JPEG2000Lossless, frames=[encode(x_ray, 12)], modality="DX", BitsStored=12)
    rendering = render(data, POLICY, Reading(window=Window(2000, 3000)))
    assert rendering.record.decoded_size == (550, 650)
    assert rendering.record.voi.source == "request"

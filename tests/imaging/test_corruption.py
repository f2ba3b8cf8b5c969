"""Damaged files: whatever is cut off or flipped, the answer is a rendering or an ImagingError."""

import random

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radserve_imaging import ImagePolicy, ImagingError, Limits, encode_png, render

POLICY = ImagePolicy(width=56, height=56)
LIMITS = Limits(max_pixels=10**6, max_inflated_bytes=10**7)
CORRUPTIONS = 150
NOISE = np.add.outer(np.arange(48), np.arange(48)).astype(np.uint8)

ENCODED = {
    "jpeg": (JPEGBaseline8Bit, lambda x: imagecodecs.jpeg8_encode(x, level=90)),
    "jpeg lossless": (JPEGLosslessSV1, imagecodecs.ljpeg_encode),
    "jpeg-ls": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "jpeg 2000": (
        JPEG2000Lossless,
        lambda x: imagecodecs.jpeg2k_encode(x, codecformat="j2k", reversible=True),
    ),
    "htj2k": (HTJ2KLossless, lambda x: imagecodecs.htj2k_encode(x, reversible=True)),
}
NATIVE = {
    "implicit": ImplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
}
FILES = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_rle_2frame.dcm",
    "liver_1frame.dcm",
    "examples_palette.dcm",
)


def survive(data):
    try:
        rendering = render(data, POLICY, limits=LIMITS)
    except ImagingError:
        return False
    assert rendering.pixels.shape == (56, 56, 3)
    return True


def corruptions(data, seed, count=CORRUPTIONS):
    """Truncations, flipped bits, overwritten and deleted stretches; the header gets as many as the pixels."""
    rng = random.Random(seed)
    for i in range(count):
        damaged = bytearray(data)
        if i % 5 == 0:
            del damaged[rng.randrange(len(data)) :]
        else:
            for _ in range(rng.choice((1, 1, 3, 20))):
                at = rng.randrange(min(len(data), 1500)) if i % 2 else rng.randrange(len(data))
                damaged[at] = rng.choice((damaged[at] ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)))
            if i % 7 == 0:
                at = rng.randrange(len(data))
                del damaged[at : at + rng.randrange(1, 9)]
        yield bytes(damaged)


@pytest.mark.parametrize("name", ENCODED)
def test_compressed_frames(build, name):
    syntax, encode = ENCODED[name]
    data = build(NOISE, syntax=syntax, frames=[encode(NOISE)], modality="CR")
    assert survive(data)
    outcomes = [survive(damaged) for damaged in corruptions(data, name)]
    assert not all(outcomes)


@pytest.mark.parametrize("name", NATIVE)
def test_native_frames(build, name):
    data = build(NOISE.astype(np.uint16), syntax=NATIVE[name], modality="CR")
    assert survive(data)
    assert not all([survive(damaged) for damaged in corruptions(data, name)])


@pytest.mark.parametrize("name", FILES)
def test_real_files(testfile, name):
    for damaged in corruptions(testfile(name), name):
        survive(damaged)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_pictures(kind):
    rgb = np.dstack([NOISE] * 3)
    data = encode_png(rgb) if kind == "png" else imagecodecs.jpeg8_encode(rgb)
    assert survive(data)
    assert not all([survive(damaged) for damaged in corruptions(data, kind)])


@pytest.mark.parametrize("name", ["jpeg", "jpeg lossless", "jpeg-ls", "jpeg 2000", "htj2k"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_frame_cut_off_is_never_shown_in_part(build, name, keep):
    """Several decoders return the part they got, silently; the end marker tells."""
    syntax, encode = ENCODED[name]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)
    frame = encode(noise)
    data = build(noise, syntax=syntax, frames=[frame[: int(len(frame) * keep)]], modality="CR")
    with pytest.raises(ImagingError) as caught:
        render(data, POLICY)
    assert caught.value.code == "corrupt_pixel_data"


def test_rle_that_lies_about_its_segments(build):
    header = np.zeros(16, "<u4")
    for count, offsets in ((1, [10**9]), (2, [64, 64]), (15, [64] * 15), (1, [0]), (0, []), (2**31, [64])):
        header[:] = 0
        header[0], header[1 : 1 + len(offsets)] = count, offsets
        frame = header.tobytes() + bytes(200)
        assert not survive(build(NOISE, syntax=RLELossless, frames=[frame], modality="CR"))


def rle_frame(*segments):
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), 64 + np.cumsum([0, *map(len, segments[:-1])])
    return header.tobytes() + b"".join(segments)


@pytest.mark.parametrize(
    ("segment", "good"),
    [
        (b"\x02abc\xff\0", True),
        (b"\x80\x02abc\xff\0\x80", True),  # 128 means nothing
        (b"\x04abcde", True),
        (b"\x04abcde\0\0", False),  # six bytes
        (b"\x03abcd", False),
        (b"\x02abc\xfe\0", False),
        (b"\x02abc\x05d", False),
        (b"\x02abc\xfed", False),
        (b"\x02abc\x02def", False),
    ],
)
def test_an_rle_segment_gives_its_bytes_no_fewer_and_no_more(build, segment, good):
    stored = np.zeros((1, 5), np.uint8)
    data = build(stored, syntax=RLELossless, frames=[rle_frame(segment)], modality="CR")
    assert survive(data) is good


def test_a_codestream_that_contradicts_its_header(build):
    small = imagecodecs.jpeg8_encode(NOISE[:40])
    data = build(NOISE, syntax=JPEGBaseline8Bit, frames=[small], modality="CR")
    with pytest.raises(ImagingError, match="48 × 40"):
        render(data, POLICY)

"""Damaged files: whatever is cut off or flipped, the answer is a rendering or an ImagingError."""

import contextlib
import io
import random
import struct

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radserve_imaging import (
    ImagePolicy,
    ImagingError,
    Limits,
    Reading,
    encode_png,
    list_planes,
    render,
    sort_planes,
)
from radserve_imaging.compressed import decode_compressed
from radserve_imaging.errors import CorruptPixelDataError
from radserve_imaging.header import PixelHeader
from radserve_imaging.jpeg import read_jpeg
from radserve_imaging.jpeg2000 import read_jpeg2000

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


@pytest.mark.parametrize("name", ["jpeg 2000", "htj2k"])
@pytest.mark.parametrize("change", [-40, -1, 1, 40])
def test_jpeg2000_that_lost_or_gained_bytes_in_its_middle_is_refused(name, change):
    """The decoder would show what it can make of the rest; the tile-parts' lengths tell."""
    frame = bytes(ENCODED[name][1](np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)))
    header = read_jpeg2000(frame)
    assert (header.width, header.height) == (48, 48)
    for at in range(frame.index(b"\xff\x93") + 2, len(frame) - 42, 97):
        damaged = frame[:at] + bytes(max(change, 0)) + frame[at - min(change, 0) :]
        with pytest.raises(CorruptPixelDataError):
            read_jpeg2000(damaged)


def test_jpeg2000_that_lost_a_tile_is_refused():
    """Each tile-part is whole, and one is missing: half of the picture would be grey."""
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, "JPEG2000", no_jp2=True, tile_size=(24, 48))
    frame = out.getvalue()
    first, second = (at for at in range(len(frame)) if frame.startswith(b"\xff\x90\x00\x0a", at))
    read_jpeg2000(frame)
    for kept in (frame[:first] + frame[second:], frame[:second] + b"\xff\xd9"):
        with pytest.raises(CorruptPixelDataError, match="1 of its 2 tiles"):
            read_jpeg2000(kept)


@pytest.mark.parametrize("size", [0, 1, 13, 2**32 - 1])
def test_a_tile_part_that_lies_about_its_length(size):
    """Only 0 may stand there: up to the end (A.4.2)."""
    frame = bytes(ENCODED["jpeg 2000"][1](NOISE))
    at = frame.index(b"\xff\x90\x00\x0a") + 6
    lied = frame[:at] + struct.pack(">I", size) + frame[at + 4 :]
    if size == 0:
        assert read_jpeg2000(lied) == read_jpeg2000(frame)
    else:
        with pytest.raises(CorruptPixelDataError):
            read_jpeg2000(lied)


def jpeg_with_restarts():
    """A JPEG of 6 × 6 blocks with a restart marker after each row of them, and where these stand."""
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, "JPEG", quality=90, restart_marker_rows=1)
    frame = out.getvalue()
    start = frame.index(b"\xff\xda")
    return frame, [
        at for at in range(start, len(frame) - 1) if frame[at] == 255 and 0xD0 <= frame[at + 1] < 0xD8
    ]


def test_jpeg_restart_markers_count_up():
    frame, at = jpeg_with_restarts()
    assert [frame[i + 1] & 7 for i in at] == [0, 1, 2, 3, 4]
    read_jpeg(frame)
    lost_interval = frame[: at[1]] + frame[at[2] :]
    lost_marker = frame[: at[1]] + frame[at[1] + 2 :]
    lost_end = frame[: at[4]] + frame[-2:]
    swapped = frame[: at[1] + 1] + b"\xd2" + frame[at[1] + 2 : at[2] + 1] + b"\xd1" + frame[at[2] + 2 :]
    unannounced = frame.replace(b"\xff\xdd\x00\x04\x00\x06", b"")
    assert len(unannounced) < len(frame)
    for damaged in (lost_interval, lost_marker, lost_end, swapped, unannounced):
        with pytest.raises(CorruptPixelDataError, match="restart markers"):
            read_jpeg(damaged)


@pytest.mark.parametrize("name", ["jpeg", "jpeg lossless", "jpeg-ls"])
def test_a_marker_inside_coded_data_is_damage(name):
    frame = bytes(ENCODED[name][1](np.random.default_rng(0).integers(0, 256, (48, 48)).astype(np.uint8)))
    read_jpeg(frame)
    for at in range(frame.index(b"\xff\xda") + 20, len(frame) - 20, 101):
        for marker in (b"\xff\xd3", b"\xff\xc4", b"\xff\xda", b"\xff\xc0"):
            with pytest.raises(CorruptPixelDataError):
                read_jpeg(frame[:at] + marker + frame[at + 2 :])


@pytest.mark.timeout(20)
@pytest.mark.parametrize("filler", [b"\xff", b"\xff\x01", b"\xff\xfe\x00\x02"])
def test_millions_of_markers_are_not_walked(filler):
    frame = bytes(ENCODED["jpeg"][1](NOISE))
    with pytest.raises(CorruptPixelDataError):
        read_jpeg(frame[:2] + filler * (20_000_000 // len(filler)) + frame[2:])
    frame = bytes(ENCODED["jpeg 2000"][1](NOISE))
    at = frame.index(b"\xff\x90\x00\x0a")
    with pytest.raises(CorruptPixelDataError):
        read_jpeg2000(frame[:at] + b"\xff\x64\x00\x02" * 5_000_000 + frame[at:])


@pytest.mark.timeout(20)
def test_millions_of_empty_fragments_are_not_collected(build):
    frame = bytes(ENCODED["jpeg"][1](NOISE))
    data = build(NOISE, syntax=JPEGBaseline8Bit, frames=[frame], modality="CR")
    end = data.rindex(b"\xfe\xff\xdd\xe0")
    assert not survive(data[:end] + b"\xfe\xff\x00\xe0\0\0\0\0" * 5_000_000 + data[end:])


def test_a_scan_header_longer_than_its_components():
    frame = bytes(ENCODED["jpeg"][1](NOISE))
    at = frame.index(b"\xff\xda\x00\x08") + 3
    with pytest.raises(CorruptPixelDataError, match="scan header"):
        read_jpeg(frame[:at] + b"\x09" + frame[at + 1 :])


def test_a_progressive_jpeg_of_many_scans_is_whole():
    out = io.BytesIO()
    Image.fromarray(NOISE).save(out, "JPEG", progressive=True)
    frame = out.getvalue()
    assert frame.count(b"\xff\xda") > 2
    read_jpeg(frame)
    last = frame.rindex(b"\xff\xda")
    for damaged in (frame[:last], frame[: last + 2] + b"\x00\x03\x07" + frame[last + 5 :]):
        with pytest.raises(CorruptPixelDataError):
            read_jpeg(damaged)


def test_lossy_white_that_overshoots_its_stored_bits_stays_white(build, full_size):
    """JPEG of 12 bits under 10 stored: 1024 is one more than white, and would be 0 once its bit is dropped."""
    stored = np.zeros((64, 64), np.uint16)
    stored[:, 29:] = 1023
    frame = imagecodecs.jpeg8_encode(stored, level=30, bitspersample=12)
    assert imagecodecs.jpeg8_decode(frame).max() > 1023
    data = build(stored, syntax=JPEGExtended12Bit, frames=[frame], modality="CR", BitsStored=10)
    assert full_size(data).pixels[:, 30:].min() > 200


@pytest.mark.parametrize("name", ["jpeg 2000", "htj2k"])
def test_frames_decoded_at_half_their_resolution(name):
    """The decoder that can leave levels out is another than that for full frames: damage it as well."""
    header = PixelHeader(48, 48, 1, "MONOCHROME2", False, 8, 8, 7, False, False, 1)
    frame = bytes(ENCODED[name][1](NOISE))
    assert decode_compressed(frame, "jpeg2000", header, 1).levels == 1
    for damaged in corruptions(frame, name):
        try:
            decoded = decode_compressed(damaged, "jpeg2000", header, 1)
        except ImagingError:
            continue
        assert decoded.values.shape == ((24, 24) if decoded.levels else (48, 48))


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


def test_headers_of_slices(testfile):
    """Positions, orientations and times that are damaged make no series, or another one, but never an accident."""
    data = testfile("CT_small.dcm")
    planes = []
    for damaged in corruptions(data[:3000], "slices", 1500):
        with contextlib.suppress(ImagingError):
            planes += list_planes(damaged, LIMITS)
    assert len(planes) > 100
    found = sort_planes(planes)
    assert sum(len(stack.planes) for stack in found.stacks) + len(found.left_out) == len(planes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e308])
def test_numbers_that_are_none(build, value):
    """A VR that the standard does not give lets a file say what no text could."""
    dataset = pydicom.dcmread(
        io.BytesIO(build(NOISE, modality="MR", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
    )
    dataset.add_new(0x00200032, "FD", [0.0, 0.0, value])
    dataset.add_new(0x00189087, "FD", value)
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    (plane,) = list_planes(out.getvalue(), LIMITS)
    found = sort_planes([plane, plane])
    assert len(found.stacks) == 2 or len(found.stacks[0].planes) == 2


def test_presentation_states(build):
    image = build(NOISE, modality="CR", StudyInstanceUID="1.2", SeriesInstanceUID="1.3")
    state = pydicom.Dataset()
    state.SOPClassUID, state.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.11.1", "1.4"
    reference, series, voi = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    series.ReferencedImageSequence = [reference]
    voi.WindowCenter, voi.WindowWidth = 50, 100
    state.ReferencedSeriesSequence, state.SoftcopyVOILUTSequence = [series], [voi]
    state.PresentationLUTShape = "INVERSE"
    state.file_meta = pydicom.dataset.FileMetaDataset()
    state.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    out = io.BytesIO()
    state.save_as(out, enforce_file_format=True)
    good = render(image, POLICY, Reading(presentation_state=out.getvalue()))
    assert good.record.voi.source == "presentation state window" and good.record.inverted
    refused = 0
    for damaged in corruptions(out.getvalue(), "state", 500):
        try:
            render(image, POLICY, Reading(presentation_state=damaged))
        except ImagingError:
            refused += 1
    assert 50 < refused < 500

"""Every transfer syntax gives the values that went in: sign, width and colour coding included."""

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from radserve_imaging import ImagingError, Limits, Reading, Window
from radserve_imaging.frames import decode_frame, find_pixel_data
from radserve_imaging.header import read_pixel_header
from radserve_imaging.part10 import open_part10

HU = {"RescaleSlope": 1, "RescaleIntercept": 0}


def packbits_frame(stored):
    """An RLE frame (PS3.5 annex G) made independently of the decoder: literal runs only."""
    size = stored.dtype.itemsize
    planes = stored.astype(stored.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, size)
    segments = []
    for i in range(size):
        plane, packed = planes[:, i].tobytes(), b""
        for at in range(0, len(plane), 128):
            chunk = plane[at : at + 128]
            packed += bytes([len(chunk) - 1]) + chunk
        segments.append(packed + b"\0" * (len(packed) % 2))
    offsets = [64]
    for segment in segments[:-1]:
        offsets.append(offsets[-1] + len(segment))
    header = np.zeros(16, "<u4")
    header[0], header[1 : 1 + size] = size, offsets
    return header.tobytes() + b"".join(segments)


def unsigned(stored):
    return stored.view(f"u{stored.itemsize}")


def jpeg_lossless_frame(stored):
    return imagecodecs.jpeg8_encode(unsigned(stored), lossless=True, bitspersample=8 * stored.itemsize)


def jpeg2000_frame(stored):
    return imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True)


LOSSLESS = {
    "rle": (RLELossless, packbits_frame),
    "jpeg lossless": (JPEGLossless, jpeg_lossless_frame),
    "jpeg lossless sv1": (JPEGLosslessSV1, lambda stored: imagecodecs.ljpeg_encode(unsigned(stored))),
    "jpeg-ls": (JPEGLSLossless, lambda stored: imagecodecs.jpegls_encode(unsigned(stored))),
    "jpeg 2000": (JPEG2000Lossless, jpeg2000_frame),
    "htj2k": (HTJ2KLossless, lambda stored: imagecodecs.htj2k_encode(stored, reversible=True)),
    "htj2k rpcl": (HTJ2KLosslessRPCL, lambda stored: imagecodecs.htj2k_encode(stored, reversible=True)),
}


def decode(data, index=0, limits=Limits()):  # noqa: B008
    file = open_part10(data, limits)
    header = read_pixel_header(file.attributes, limits)
    return decode_frame(file, find_pixel_data(file.attributes), header, index)


@pytest.fixture(scope="module")
def signed():
    """−1024 … 3071 HU, each once, in random order."""
    return np.random.default_rng(1).permutation(np.arange(-1024, 3072)).astype(np.int16).reshape(64, 64)


@pytest.mark.checks(
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
)
@pytest.mark.parametrize("name", LOSSLESS)
def test_signed_16_bit_values_survive(build, hounsfield, signed, name):
    """Raw decoders return unsigned codes: −1000 becomes 64536, or all is offset by 32768."""
    syntax, encode = LOSSLESS[name]
    data = build(signed, syntax=syntax, frames=[encode(signed)], **HU)
    assert np.array_equal(decode(data).values, signed)
    assert np.array_equal(hounsfield(data), signed)


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_unsigned_values_survive(build, signed, name, kind):
    syntax, encode = LOSSLESS[name]
    stored = (signed.astype(int) + 1024).astype(kind)
    decoded = decode(build(stored, syntax=syntax, frames=[encode(stored)], modality="MR"))
    assert decoded.values.dtype.kind == "u"
    assert np.array_equal(decoded.values, stored)


def test_14_bit_codestreams_in_16_bit_words_extend_their_sign(build, signed):
    """Without it every negative value is off by 16384."""
    codes = signed.view(np.uint16) & np.uint16(2**14 - 1)
    frame = imagecodecs.jpeg8_encode(codes, lossless=True, bitspersample=14)
    data = build(signed, syntax=JPEGLosslessSV1, frames=[frame], BitsStored=14, **HU)
    assert np.array_equal(decode(data).values, signed)


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("u2", [0, 4095], [0, 4095]),
        ("u2", [5, 4096], [5, 0]),
        ("i2", [-2048, 2047], [-2048, 2047]),
        ("i2", [5, 2048], [5, -2048]),
        ("i2", [5, -2049], [5, 2047]),
    ],
)
def test_bits_above_the_stored_ones_count_for_nothing(build, kind, stored, expected):
    """Looked at before they are dropped: the values at both ends of 12 bits, and the next beyond."""
    assert decode(build(np.array([stored], kind), BitsStored=12)).values.tolist() == [expected]


def test_signed_header_over_unsigned_jpeg2000_is_believed(testfile):
    """J2K_pixelrep_mismatch.dcm: unsigned in the codestream, signed by the header; padding is −2000."""
    decoded = decode(testfile("J2K_pixelrep_mismatch.dcm"))
    assert decoded.values.dtype == np.int16
    assert decoded.values.min() == -2000
    assert any("signed" in warning for warning in decoded.warnings)


def test_signed_jpeg2000_under_an_unsigned_header_is_believed(build, signed):
    frame = jpeg2000_frame(signed)
    decoded = decode(build(signed.view(np.uint16), syntax=JPEG2000Lossless, frames=[frame], **HU))
    assert np.array_equal(decoded.values, signed)


@pytest.mark.checks("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
@pytest.mark.parametrize(("syntax", "bits"), [(JPEGBaseline8Bit, 8), (JPEGExtended12Bit, 12)])
def test_lossy_jpeg_is_close_to_what_went_in(build, syntax, bits):
    stored = np.add.outer(np.arange(64), np.arange(64)).astype("u1" if bits == 8 else "u2") * (
        1 if bits == 8 else 16
    )
    frame = imagecodecs.jpeg8_encode(stored, level=95, bitspersample=bits)
    decoded = decode(build(stored, syntax=syntax, frames=[frame], modality="CR", BitsStored=bits)).values
    assert np.abs(decoded.astype(int) - stored).max() <= 2 ** (bits - 6)


@pytest.mark.checks("1.2.840.10008.1.2.4.203")
def test_lossy_htj2k_does_not_wrap_white_to_black(build):
    """One decoder lets values that ring above the range wrap around to 0."""
    rng = np.random.default_rng(0)
    stored = np.where(rng.random((96, 96)) > 0.5, 255, rng.integers(0, 255, (96, 96))).astype(np.uint8)
    frame = imagecodecs.htj2k_encode(stored, level=0.05, reversible=False)
    decoded = decode(build(stored, syntax=HTJ2K, frames=[frame], modality="CR")).values
    assert np.abs(decoded.astype(int) - stored).max() < 128


@pytest.mark.checks("Photometric interpretations: RGB")
@pytest.mark.parametrize("planar", [0, 1])
def test_native_colour_in_either_layout(build, full_size, planar):
    rgb = np.random.default_rng(2).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    stored = rgb if planar == 0 else np.moveaxis(rgb, 2, 0).reshape(6, 10, 3)
    assert np.array_equal(full_size(build(stored, PlanarConfiguration=planar)).pixels, rgb)


@pytest.mark.checks(
    "Photometric interpretations: RGB",
    "Photometric interpretations: YBR_FULL",
    "Photometric interpretations: YBR_FULL_422",
)
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_colour_jpeg_comes_out_red_when_red_went_in(build, full_size, photometric):
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 220
    space = {"colorspace": "RGB", "outcolorspace": "RGB" if photometric == "RGB" else "YCBCR"}
    frame = imagecodecs.jpeg8_encode(red, level=95, **space)
    data = build(red, syntax=JPEGBaseline8Bit, frames=[frame], PhotometricInterpretation=photometric)
    assert np.abs(full_size(data).pixels[16, 16].astype(int) - (220, 0, 0)).max() <= 4


def test_palette_colour_is_looked_up(build, full_size):
    index = np.array([[0, 1], [2, 1]], np.uint8)
    palette = {}
    for name, entries in (("Red", [0, 65535, 0]), ("Green", [0, 0, 65535]), ("Blue", [65535, 0, 0])):
        palette[f"{name}PaletteColorLookupTableDescriptor"] = [3, 0, 16]
        palette[f"{name}PaletteColorLookupTableData"] = np.array(entries, "<u2").tobytes()
    shown = full_size(build(index, PhotometricInterpretation="PALETTE COLOR", **palette)).pixels
    assert shown.tolist() == [[[0, 0, 255], [255, 0, 0]], [[0, 255, 0], [255, 0, 0]]]


@pytest.mark.parametrize("offset_table", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
def test_each_frame_is_found_among_its_fragments(build, offset_table, fragments):
    stored = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    frames = [imagecodecs.jpegls_encode(frame) for frame in stored]
    data = build(stored, syntax=JPEGLSLossless, frames=frames, offset_table=offset_table, modality="US")
    old = encapsulate(frames, has_bot=offset_table)
    new = encapsulate(frames, has_bot=offset_table, fragments_per_frame=fragments)
    assert old in data
    for index in range(3):
        assert np.array_equal(decode(data.replace(old, new), index).values, stored[index])


def fragmented(build, stored, syntax, frames):
    """Two frames of three fragments each, and where the offset table's second entry stands."""
    data = build(stored, syntax=syntax, frames=frames, modality="US")
    split = encapsulate(frames, has_bot=True, fragments_per_frame=3)
    data = data.replace(encapsulate(frames, has_bot=True), split)
    return data, data.index(split) + 12


def test_the_offset_table_groups_fragments_that_no_marker_can(build):
    stored = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8)
    frames = [packbits_frame(frame) for frame in stored]
    data, _ = fragmented(build, stored, RLELossless, frames)
    for index in range(2):
        assert np.array_equal(decode(data, index).values, stored[index])


@pytest.mark.parametrize("lie", [0, 1, 2**32 - 1])
def test_an_offset_table_that_lies_is_not_believed(build, lie):
    stored = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8)
    frames = [imagecodecs.jpegls_encode(frame) for frame in stored]
    data, at = fragmented(build, stored, JPEGLSLossless, frames)
    lied = data[:at] + np.array([lie], "<u4").tobytes() + data[at + 4 :]
    for index in range(2):
        assert np.array_equal(decode(lied, index).values, stored[index])


def test_multi_frame_objects_show_their_middle_frame_and_say_so(build, full_size):
    stored = np.stack([np.full((4, 4), value, np.uint8) for value in (10, 20, 30)])
    stored[:, 0, 0] = 0
    rendering = full_size(build(stored, modality="US"))
    assert (rendering.record.frame, rendering.record.number_of_frames) == (2, 3)
    assert any("middle" in warning for warning in rendering.record.warnings)
    window = Window(20, 40, "LINEAR_EXACT")
    assert full_size(build(stored, modality="US"), Reading(3, window)).pixels[1, 1, 0] == 191


@pytest.mark.parametrize("frame", [0, 4, -1])
def test_a_frame_that_is_not_there_is_refused(build, full_size, frame):
    with pytest.raises(ImagingError) as caught:
        full_size(build(np.zeros((3, 4, 4), np.uint8)), Reading(frame=frame))
    assert caught.value.code == "invalid_frame"


@pytest.mark.checks("Pixels: 1 to 64 bits")
def test_single_bit_frames_start_inside_a_byte(build):
    stored = np.random.default_rng(3).integers(0, 2, (3, 5, 7)).astype(np.uint8)
    packed = np.packbits(stored.ravel(), bitorder="little").tobytes()
    data = build(stored, modality="SEG", BitsAllocated=1, BitsStored=1)
    for index in range(3):
        assert np.array_equal(
            decode(patch_pixels(data, stored.tobytes(), packed), index).values, stored[index]
        )


def patch_pixels(data, old, new):
    """Exchange the value of native pixel data, which ends the file, with its length."""
    value = new + b"\0" * (len(new) % 2)
    head = data[: len(data) - len(old) - len(old) % 2]
    return head[:-4] + np.array([len(value)], "<u4").tobytes() + value


def pack_cells(stored, bits):
    """Samples of `bits` bits one after another, the first in the lowest bits, bit by bit as PS3.5 8.1.1 draws it."""
    number = sum((int(code) & (2**bits - 1)) << (bits * i) for i, code in enumerate(stored.ravel()))
    return number.to_bytes(-(-stored.size * bits // 8), "little")


@pytest.mark.checks("Pixels: 1 to 64 bits")
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 10, 12, 14, 20, 24, 31])
@pytest.mark.parametrize("signed", [False, True])
def test_samples_packed_without_regard_to_bytes(build, bits, signed):
    """Frames of 35 samples, so that a frame begins anywhere inside a byte."""
    low = -(2 ** (bits - 1)) if signed else 0
    stored = np.random.default_rng(bits).integers(low, low + 2**bits, (3, 5, 7))
    whole = stored.astype("i4" if signed else "u4")
    attributes = {"BitsAllocated": bits, "BitsStored": bits, "modality": "OT"}
    data = patch_pixels(build(whole, **attributes), whole.tobytes(), pack_cells(stored, bits))
    for index in range(3):
        assert np.array_equal(decode(data, index).values, stored[index])


def test_packed_samples_of_words_in_big_endian_order(build):
    stored = np.random.default_rng(0).integers(0, 4096, (8, 8)).astype(np.uint16)
    swapped = np.frombuffer(pack_cells(stored, 12), np.uint16).byteswap().tobytes()
    data = build(stored, syntax=ExplicitVRBigEndian, BitsAllocated=12, BitsStored=12, modality="OT")
    at = data.index(b"\x7f\xe0\x00\x10OW") + 8
    data = data[:at] + np.array([len(swapped)], ">u4").tobytes() + swapped
    assert np.array_equal(decode(data).values, stored)


@pytest.mark.checks("Pixels: 1 to 64 bits")
@pytest.mark.parametrize("kind", ["i8", "u8"])
def test_64_bit_integers(build, kind):
    stored = np.array([[-(2**40), 5], [2**40, 2**62]], np.int64).astype(kind)
    assert np.array_equal(decode(build(stored, modality="OT")).values, stored)


@pytest.mark.parametrize("excess", [0, 1, 128])
def test_native_pixel_data_may_be_filled_up_with_zeros(build, excess):
    stored = np.arange(63, dtype=np.uint8).reshape(7, 9)
    data = patch_pixels(build(stored, modality="OT"), stored.tobytes(), stored.tobytes() + bytes(excess))
    assert np.array_equal(decode(data).values, stored)
    assert bool(decode(data).warnings) == (excess > 1)


def test_native_pixel_data_that_no_frame_explains_is_refused(build):
    """Its header is not of these pixels, perhaps: rows of another length would shear the picture."""
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = patch_pixels(build(stored, modality="OT"), stored.tobytes(), stored.tobytes() + b"\0" * 7 + b"\1")
    with pytest.raises(ImagingError, match="need 64"):
        decode(data)


def test_an_offset_table_never_moves_a_frame_that_begins_with_its_marker(build):
    """Tables that point at true fragments, but at others than those in which the frames do begin."""
    stored = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8)
    frames = [imagecodecs.jpegls_encode(frame) for frame in stored]
    data = build(stored, syntax=JPEGLSLossless, frames=frames, modality="US")
    split = encapsulate(frames, has_bot=True, fragments_per_frame=2)
    data = data.replace(encapsulate(frames, has_bot=True), split)
    first, second, third = np.frombuffer(split, "<u4", 3, 8)
    inside = 8 + int.from_bytes(split[24:28], "little")  # where the second fragment of frame 1 begins
    for table in ([first, third, second], [first, inside, third], [first, inside, second]):
        lied = data.replace(
            np.array([first, second, third], "<u4").tobytes(), np.array(table, "<u4").tobytes()
        )
        assert lied != data
        for index in range(3):
            assert np.array_equal(decode(lied, index).values, stored[index])

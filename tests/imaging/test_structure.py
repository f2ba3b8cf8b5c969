"""Reading the file's structure agrees with pydicom, bounds what it walks, and names what is wrong."""

import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from radserve_imaging import ImagePolicy, ImagingError, Limits, render, sniff
from radserve_imaging.part10 import open_part10
from radserve_imaging.tags import PIXEL_DATA

FILES = ["CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm"]
SMALL = np.arange(64, dtype=np.uint16).reshape(8, 8)


def refuse(data, limits=None):
    with pytest.raises(ImagingError) as caught:
        render(data, ImagePolicy(), limits=limits or Limits())
    return caught.value


@pytest.mark.parametrize(
    "name", [*FILES, "rtplan.dcm", "priv_SQ.dcm", "nested_priv_SQ.dcm", "liver_1frame.dcm"]
)
def test_elements_lie_where_pydicom_finds_them(testfile, name):
    data = testfile(name)
    expected = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    found = open_part10(data, Limits()).attributes
    assert {int(tag) for tag in expected.keys()} == {tag for tag in found if tag < PIXEL_DATA}  # noqa: SIM118
    for tag in expected.keys():  # noqa: SIM118
        raw = expected.get_item(tag)
        if isinstance(raw, pydicom.dataelem.RawDataElement) and raw.length != 0xFFFFFFFF:
            assert found.value(int(tag)) == (raw.value or b"")


def test_the_preamble_may_be_missing(build):
    whole = build(SMALL, modality="CR")
    bare = whole[132:]
    assert sniff(bare) == "application/dicom"
    rendering = render(bare, ImagePolicy())
    assert np.array_equal(rendering.pixels, render(whole, ImagePolicy()).pixels)
    assert any("preamble" in warning for warning in rendering.record.warnings)


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_file_meta_may_be_missing_too(build, syntax):
    whole = build(SMALL, modality="CR", **({"syntax": syntax} if syntax else {}))
    (length,) = struct.unpack_from("<I", whole, 140)
    rendering = render(whole[144 + length :], ImagePolicy())
    assert np.array_equal(rendering.pixels, render(whole, ImagePolicy()).pixels)


def test_explicit_vr_under_an_implicit_transfer_syntax_is_read(build):
    data = build(SMALL, modality="CR")
    lied = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2\0\0\0")
    assert np.array_equal(render(lied, ImagePolicy()).pixels, render(data, ImagePolicy()).pixels)


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(200), b"<html>" * 60, b"%PDF-1.7" + bytes(300)])
def test_other_files_are_not_images(data):
    assert refuse(data).code == "not_an_image"


@pytest.mark.checks("Refused, with a code: no pixels")
@pytest.mark.parametrize("name", ["rtplan.dcm", "test-SR.dcm"])
def test_objects_without_pixels_say_so(testfile, name):
    error = refuse(testfile(name))
    assert error.code == "no_pixel_data"
    assert error.tag == "(7FE0,0010) Pixel Data"


def test_empty_pixel_data_says_so(build):
    data = build(np.zeros((0, 8), np.uint16), Rows=8)
    assert refuse(data).code == "no_pixel_data"


@pytest.mark.parametrize(
    ("attributes", "code", "tag"),
    [
        ({"Rows": None}, "missing_attribute", "(0028,0010) Rows"),
        ({"BitsAllocated": None}, "missing_attribute", "(0028,0100) Bits Allocated"),
        ({"PhotometricInterpretation": None}, "missing_attribute", "(0028,0004) Photometric Interpretation"),
        ({"Rows": 0}, "invalid_attribute", "(0028,0010) Rows"),
        ({"Rows": 9}, "corrupt_pixel_data", "(7FE0,0010) Pixel Data"),
        ({"NumberOfFrames": 3}, "corrupt_pixel_data", "(7FE0,0010) Pixel Data"),
        ({"BitsStored": 17}, "invalid_attribute", "(0028,0101) Bits Stored"),
        ({"BitsAllocated": 80}, "unsupported_pixel_format", "(0028,0100) Bits Allocated"),
        ({"SamplesPerPixel": 2}, "invalid_attribute", "(0028,0002) Samples per Pixel"),
        (
            {"PhotometricInterpretation": "HSV"},
            "unsupported_photometric",
            "(0028,0004) Photometric Interpretation",
        ),
        ({"Rows": 60000, "Columns": 60000}, "too_large", "(0028,0010) Rows and (0028,0011) Columns"),
        ({"NumberOfFrames": 2_000_000_000}, "too_large", "(0028,0008) Number of Frames"),
        ({"RescaleSlope": 0}, "invalid_attribute", "(0028,1053) Rescale Slope"),
    ],
)
def test_a_bad_attribute_is_named(build, attributes, code, tag):
    error = refuse(build(SMALL, **attributes))
    assert (error.code, error.tag) == (code, tag)
    assert tag.split(" and ")[0] in str(error)


def test_a_text_that_is_no_number_is_quoted(build):
    data = build(SMALL, RescaleSlope="1.25", RescaleIntercept="0").replace(b"1.25", b"1,25")
    error = refuse(data)
    assert (error.code, error.tag) == ("invalid_attribute", "(0028,1053) Rescale Slope")
    assert "1,25" in str(error)


@pytest.mark.parametrize("cut", [10, 100, 126])
def test_truncated_native_pixels_are_refused(build, cut):
    assert refuse(build(SMALL)[:-cut]).code == "truncated_dicom"


def test_a_file_cut_inside_an_attribute_is_truncated(build):
    data = build(SMALL, PatientComments="x" * 500)
    assert refuse(data[: data.index(b"xxxx") + 20]).code == "truncated_dicom"


@pytest.mark.checks("Refused, with a code: other syntaxes")
def test_an_unknown_transfer_syntax_is_named_with_the_way_out(build):
    data = build(SMALL, syntax="1.2.840.10008.1.2.4.100", frames=[b"\0" * 64])
    error = refuse(data)
    assert error.code == "unsupported_transfer_syntax"
    for part in ("1.2.840.10008.1.2.4.100", "MPEG2", "Explicit VR Little Endian"):
        assert part in str(error)


def test_inflation_is_bounded(build):
    """2 MB of deflated zeros would grow to 2 GiB."""
    data = build(SMALL, syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + struct.unpack_from("<I", data, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(64)) + deflater.flush()
    assert refuse(data[:start] + bomb, Limits(max_inflated_bytes=2**20)).code == "too_large"


def test_a_deflated_file_that_ends_early_is_truncated(build):
    noise = np.random.default_rng(0).integers(0, 65536, (64, 64)).astype(np.uint16)
    assert refuse(build(noise, syntax=DeflatedExplicitVRLittleEndian)[:-500]).code == "truncated_dicom"


def test_deep_nesting_is_refused_not_recursed(build):
    data = build(SMALL)
    at = data.index(struct.pack("<HH", 0x0028, 0x0002))
    nest = struct.pack("<HH2sHI", 0x0018, 0x9999, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    assert refuse(data[:at] + nest * 15_000 + data[at:]).code == "malformed_dicom"


def test_the_number_of_elements_is_bounded(build):
    data = build(SMALL)
    at = data.index(struct.pack("<HH", 0x0028, 0x0002))
    filler = struct.pack("<HH2sH", 0x0018, 0x1000, b"LO", 0) * 1000
    assert refuse(data[:at] + filler + data[at:], Limits(max_elements=500)).code == "too_large"


def test_a_file_over_the_byte_limit_is_refused_unread():
    assert refuse(bytes(1000), Limits(max_bytes=999)).code == "too_large"


def test_sequences_of_undefined_length_are_stepped_over(build):
    outer, inner = Dataset(), Dataset()
    inner.Rows = 99  # must not be taken for the image's own
    outer.ReferencedImageSequence = [inner]
    outer["ReferencedImageSequence"].is_undefined_length = True
    data = build(SMALL, modality="CR", SourceImageSequence=[outer])
    assert render(data, ImagePolicy()).record.size_in == (8, 8)


def test_the_record_never_holds_the_instance_uid(build):
    record = render(build(SMALL, modality="CR"), ImagePolicy()).record
    assert "1.2.826.0.1.3680043.8.498.1" not in str(record.to_json())
    assert len(record.sop_instance_uid_sha256) == 64
    assert record.sop_class.name == "CT Image Storage"
    assert record.transfer_syntax.name == "Explicit VR Little Endian"


def test_overlays_and_burned_in_text_are_mentioned(build):
    data = build(SMALL, modality="CR", BurnedInAnnotation="YES")
    assert any("burned" in warning for warning in render(data, ImagePolicy()).record.warnings)

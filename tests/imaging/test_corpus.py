"""Real files of many makers and all transfer syntaxes: rendered with the right values, or refused cleanly."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import get_decoder

from radserve_imaging import ImagePolicy, ImagingError, Limits, Window, render
from radserve_imaging.dicom import DicomImage
from radserve_imaging.frames import decode_frame, find_pixel_data
from radserve_imaging.header import read_pixel_header
from radserve_imaging.part10 import open_part10

POLICY = ImagePolicy(ct_window=Window(40, 400))
# Those that pydicom decodes by itself, and so by other code than ours.
INDEPENDENT = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
)
LARGEST = 2_000_000  # bytes, to keep the sweep short


def stored(data):
    file = open_part10(data, Limits())
    header = read_pixel_header(file.attributes, Limits())
    return decode_frame(file, find_pixel_data(file.attributes), header, 0).values


def read_by_pydicom(data, syntax):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, on values that are not ours to mend
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.NumberOfFrames = dataset.get("NumberOfFrames") or 1
        return get_decoder(syntax).as_array(dataset, index=0, raw=True)[0]


@pytest.mark.checks(
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.203",
    "Objects: CT",
    "Objects: MR",
    "Objects: CR",
    "Objects: DX",
    "Objects: MG",
    "Objects: US",
    "Objects: XA",
    "Objects: PT",
    "Objects: NM",
    "Objects: OT",
    "Photometric interpretations: MONOCHROME1",
    "Photometric interpretations: MONOCHROME2",
    "Photometric interpretations: PALETTE COLOR",
    "Photometric interpretations: RGB",
    "Photometric interpretations: YBR_FULL",
    "Photometric interpretations: YBR_FULL_422",
    "Photometric interpretations: YBR_RCT",
    "Photometric interpretations: YBR_ICT",
)
def test_every_decodable_file_renders(corpus):
    """All 145 of them, each with contrast where its stored values have some, in under a few seconds."""
    rendered = 0
    for path, row in corpus:
        if row["decode"] != "ok":
            continue
        data = path.read_bytes()
        rendering = render(data, POLICY)
        rendered += 1
        assert rendering.pixels.shape == (224, 224, 3), path.name
        assert rendering.record.modality == (None if row["modality"] == "none" else row["modality"]), (
            path.name
        )
        if rendering.pixels.min() == rendering.pixels.max():
            image = DicomImage(data, Limits())
            values = image.decode(rendering.record.frame - 1).values
            assert values.min() == values.max(), path.name
    assert rendered > 140


# By the digest in the file's name. What another library cannot decode is either wrong, and refused by its fault,
# or right, and then its values are checked below against a lossless version of the same picture.
REFUSED = {
    "57e48e85": "missing_attribute",
    "075dc514": "missing_attribute",
    "5cc69496": "missing_attribute",
    "cd3e7e57": "malformed_dicom",
    "a3f26c27": "truncated_dicom",
    "a8bcadf5": "invalid_attribute",
    "d12583df": "invalid_attribute",
    "1a7f0eb9": "unsupported_transfer_syntax",
    "49464a32": "corrupt_pixel_data",
    "de9f5750": "corrupt_pixel_data",
    "b1fd9301": "corrupt_pixel_data",
    "2eba8df9": "unsupported_pixel_format",
    "125601eb": "unsupported_transfer_syntax",
}
RIGHT_ALL_THE_SAME = {"f26b5ef7", "a0c55225", "c425608e", "cfbccc76", "e3f7dbd2", "d7f7d0e4"}


@pytest.mark.checks("Refused, with a code: damage", "Refused, with a code: other syntaxes")
def test_every_other_file_is_refused_by_its_fault_or_is_right_all_the_same(corpus):
    seen = set()
    for path, row in corpus:
        if not row["file"].startswith("not-decodable"):
            continue
        digest = path.stem.rpartition("_")[2]
        seen.add(digest)
        if digest in RIGHT_ALL_THE_SAME:
            render(path.read_bytes(), POLICY)
            continue
        with pytest.raises(ImagingError) as caught:
            render(path.read_bytes(), POLICY)
        assert caught.value.code == REFUSED[digest], path.name
        assert len(str(caught.value)) > 30
    assert seen == REFUSED.keys() | RIGHT_ALL_THE_SAME


@pytest.mark.checks("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80")
@pytest.mark.parametrize(
    "digests",
    [
        ("4d3b7469", "6d63f282"),  # a chest X-ray as JPEG-LS and RLE
        ("4b743d0b", "d9ffae08"),  # a localizer as JPEG-LS and RLE
        ("e7d35e6d", "cf6df3b7"),  # a CT as JPEG Lossless and JPEG-LS
    ],
)
def test_lossless_versions_of_a_real_picture_are_equal(corpus, digests):
    first, second = (stored(file_of(corpus, digest)) for digest in digests)
    assert np.array_equal(first, second)


@pytest.mark.checks(
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.53",
    "1.2.840.10008.1.2.4.55",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.91",
    "Photometric interpretations: YBR_ICT",
)
@pytest.mark.parametrize(
    ("lossless", "lossy", "least_psnr"),
    [
        ("4d3b7469", "f26b5ef7", 40),  # JPEG of 12 bits over a header that says 10
        ("4d3b7469", "63f877b4", 50),  # JPEG-LS, near lossless
        ("4b743d0b", "a0c55225", 40),
        ("4b743d0b", "acc5b413", 50),
        ("94f21a86", "b78c433c", 45),
        ("e7d35e6d", "e3f7dbd2", 40),  # JPEG process 6 and 8, spectral selection
        ("e7d35e6d", "d7f7d0e4", 40),  # JPEG process 10 and 12, full progression
        ("7fbfd293", "744d0137", 45),  # JPEG 2000
        ("13d21761", "c425608e", 90),  # the same frame; its header mended in the first
        ("e7539dd3", "cfbccc76", 40),  # both lossy: JPEG 2000 and JPEG
        ("6e44f53c", "22340375", 30),  # colour: RLE, and JPEG 2000 with its colour transform
    ],
)
def test_lossy_versions_of_a_real_picture_are_close_to_it(corpus, lossless, lossy, least_psnr):
    reference, found = (rescaled(file_of(corpus, digest)) for digest in (lossless, lossy))
    span = reference.max() - reference.min()
    error = np.sqrt(np.mean((found - reference) ** 2))
    psnr = np.inf if error == 0 else 20 * np.log10(span / error)
    assert psnr > least_psnr


def rescaled(data):
    """Stored values by our decoder, rescaled by what pydicom reads."""
    dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return stored(data) * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))


def file_of(corpus, digest):
    (path,) = [path for path, _ in corpus if digest in path.name]
    return path.read_bytes()


@pytest.mark.checks(
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
)
def test_stored_values_are_those_that_pydicom_reads(corpus):
    compared = 0
    for path, row in corpus:
        if row["decode"] != "ok" or row["ts"] not in INDEPENDENT or path.stat().st_size > LARGEST:
            continue
        data = path.read_bytes()
        assert np.array_equal(stored(data), read_by_pydicom(data, row["ts"])), path.name
        compared += 1
    assert compared > 40


def test_a_picture_stored_in_many_syntaxes_is_one_picture(testfile):
    """pydicom ships one frame as native, RLE, big endian, JPEG-LS and JPEG 2000."""
    for first, second in (
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("SC_rgb_small_odd.dcm", "SC_rgb_small_odd_big_endian.dcm"),
    ):
        assert np.array_equal(stored(testfile(first)), stored(testfile(second))), second


def test_every_file_that_pydicom_ships_renders_or_says_why():
    seen = 0
    for path in sorted(Path(pydicom.data.__file__).parent.joinpath("test_files").glob("*.dcm")):
        seen += 1
        try:
            render(path.read_bytes(), POLICY)
        except ImagingError as error:
            assert error.code != "imaging_error", path.name
    assert seen > 50

"""Real files of many makers and all transfer syntaxes: rendered with the right values, or refused cleanly."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import get_decoder

from radserve_imaging import ImagePolicy, ImagingError, Limits, Window, render
from radserve_imaging.frames import decode_frame, find_pixel_data
from radserve_imaging.header import read_pixel_header
from radserve_imaging.part10 import open_part10

POLICY = ImagePolicy(ct_window=Window(40, 400))
RADIOLOGY = {"CT", "MR", "CR", "DX"}
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


def test_every_radiograph_and_slice_renders_or_says_why(corpus):
    rendered = 0
    for path, row in corpus:
        if row["modality"] not in RADIOLOGY or path.stat().st_size > LARGEST:
            continue
        try:
            rendering = render(path.read_bytes(), POLICY)
        except ImagingError as error:
            assert error.code != "imaging_error" and str(error), path.name
            assert row["decode"] != "ok", f"{path.name}: {error}"
            continue
        rendered += 1
        assert rendering.pixels.shape == (224, 224, 3), path.name
        assert rendering.pixels.min() < rendering.pixels.max(), path.name
    assert rendered > 40


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

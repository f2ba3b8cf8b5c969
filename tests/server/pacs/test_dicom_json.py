"""What an archive says of slices in JSON, and what the files say themselves, are the same planes."""

import io

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from radserve_imaging import Limits, list_planes
from radserve_server.pacs.dicom_json import has_window, read_objects, read_planes


def told(data):
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return header.to_json_dict(suppress_invalid_tags=True)


def item(**values):
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.fixture(scope="module")
def enhanced(pydicom_file):
    """An enhanced MR of three frames, whose places, echoes and b-values stand in functional groups."""
    dataset = pydicom.dcmread(io.BytesIO(pydicom_file("MR_small.dcm")))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.NumberOfFrames = 3
    dataset.PixelData = dataset.PixelData * 3
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.25], SliceThickness=3)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 0.6, 0.8])],
        MREchoSequence=[item(EffectiveEchoTime=85.25)],
    )
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-3.5, 0.1, 7.25 * number])],
            FrameContentSequence=[item(TemporalPositionIndex=number + 1)],
            MRDiffusionSequence=[item(DiffusionBValue=500.0 * number)],
            MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])],
        )
        for number in range(3)
    ]
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "693_J2KI.dcm", "examples_ybr_color.dcm"])
def test_the_planes_out_of_json_are_those_of_the_file(pydicom_file, name):
    data = pydicom_file(name)
    assert list(read_planes(told(data))) == list_planes(data, Limits())


def test_the_frames_of_an_enhanced_object_are_told_apart_too(enhanced):
    planes = read_planes(told(enhanced))
    assert list(planes) == list_planes(enhanced, Limits())
    assert [plane.b_value for plane in planes] == [0, 500, 1000]
    assert len({plane.position for plane in planes}) == 3


def test_what_is_no_image_has_no_planes(pydicom_file):
    for name in ("reportsi.dcm", "rtplan.dcm"):
        assert read_planes(told(pydicom_file(name))) == ()


@pytest.mark.parametrize(
    ("tag", "attribute"),
    [
        ("00200032", {"vr": "DS", "Value": ["a", None, {}]}),
        ("00200032", {"vr": "DS", "Value": 7}),
        ("00280010", {"vr": "US", "Value": [10**9]}),
        ("00280010", {"vr": "US", "Value": [float("nan")]}),
        ("00280010", {"vr": "US", "Value": ["many"]}),
        ("00280008", {"vr": "IS", "Value": ["2000000000"]}),
        ("52009230", {"vr": "SQ", "Value": [[]]}),
        ("00080008", {"vr": "CS", "Value": ["X" * 100_000]}),
        ("00180050", None),
    ],
)
def test_nonsense_in_json_breaks_nothing(ct, tag, attribute):
    """The slice has no place, or is none; the archive's other slices are not lost with it."""
    for plane in read_planes({**told(ct), tag: attribute}):
        assert plane.frames == 1


def test_numbers_may_stand_as_text(ct):
    """PS3.18 F.2.2: DS and IS may be strings; some archives write all numbers so."""
    as_text = {
        tag: {**value, "Value": [str(number) for number in value["Value"]]}
        for tag, value in told(ct).items()
        if value["vr"] in ("US", "DS", "IS", "CS", "UI") and "Value" in value
    }
    assert list(read_planes(as_text)) == list_planes(ct, Limits())


def test_a_window_is_one_that_can_be_shown():
    center, width = {"vr": "DS", "Value": [40, 300]}, {"vr": "DS", "Value": ["400", 1500]}
    assert has_window({"00281050": center, "00281051": width})
    assert not has_window({"00281050": center})
    assert not has_window({"00281050": center, "00281051": {"vr": "DS", "Value": [0]}})
    assert not has_window({"00281050": center, "00281051": {"vr": "DS", "Value": ["wide"]}})


def test_a_list_of_objects_is_read_with_any_space_and_cut_off_is_none():
    told = b' [ {"00080018": {"vr": "UI", "Value": ["1.2"]}, "00100010": {}} ,\r\n {"0020000E": {}}\t] '
    assert read_objects(told) == [{"00080018": {"vr": "UI", "Value": ["1.2"]}}, {"0020000E": {}}]
    assert read_objects(b"[]") == []
    for end in range(len(told.rstrip()) - 1):
        with pytest.raises(ValueError):
            read_objects(told[:end])


@pytest.mark.parametrize(
    "told", [b"{}", b"[1]", b"[[]]", b'[{"a": 1} {"b": 2}]', b"[" * 100_000, b"\xff", b"[{}}"]
)
def test_what_is_no_list_of_objects_is_refused(told):
    with pytest.raises(ValueError):
        read_objects(told)


def test_deep_nesting_is_refused_like_the_rest():
    with pytest.raises(ValueError):
        read_objects(b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]")

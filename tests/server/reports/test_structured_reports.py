"""SRs of answers about real files: dciodvfy and dsrdump find no error in them, and they say what the answer said."""

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

SERIES = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom" / "series"
FILES = Path(str(get_testdata_file("CT_small.dcm"))).parent
KINDS = ("basic_text", "tid1500")


@pytest.mark.parametrize("broken", ["a missing flag", "a relationship that Basic Text SR has not"])
def test_a_file_that_breaks_the_rules_of_an_sr_is_found(room, own_file, validate, broken):
    """The other tests would pass with validators that find nothing."""
    sr = pydicom.dcmread(io.BytesIO(room.sr(room.ask(own_file()))))
    if broken == "a missing flag":
        del sr.CompletionFlag
    else:
        (image,) = [item for item in items(sr) if item.ValueType == "IMAGE"]
        image.RelationshipType = "HAS OBS CONTEXT"
    out = io.BytesIO()
    sr.save_as(out)
    with pytest.raises(AssertionError):
        validate(out.getvalue())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "dicomdirtests/77654033/CR1/6154",
        "SC_rgb_rle_2frame.dcm",
        "ExplVR_BigEnd.dcm",  # big endian, without a patient id
    ],
)
def test_no_error_is_found_in_the_report_on_an_upload(room, validate, name, kind):
    file = FILES / name
    sr = validate(room.sr(room.ask_uploaded(file.read_bytes()), kind=kind))
    source = pydicom.dcmread(file, stop_before_pixels=True)
    assert sr.StudyInstanceUID == source.StudyInstanceUID
    assert (sr.PatientID, sr.PatientName) == (source.get("PatientID", ""), source.get("PatientName", ""))
    assert [item.instance for item in references(sr)] == [source.SOPInstanceUID]


@pytest.mark.parametrize("folder", ["ct-head-ge", "mr-t1-sag"])
def test_no_error_is_found_in_the_report_on_slices_of_a_real_series(room, validate, folder):
    if not (SERIES / folder).is_dir():
        pytest.skip("the shared series are not beside this checkout")
    paths = sorted((SERIES / folder).iterdir())[::4][:3]
    clinical = room.ask(*(path.read_bytes() for path in paths))
    sr = validate(room.sr(clinical))
    assert {item.instance for item in references(sr)} == {seen["instance"] for seen in clinical["seen"]}
    assert len(texts(sr)["Image shown to the model"]) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_of_a_sampled_answer_says_why_it_has_no_confidence(room, own_file, validate, kind):
    room.gateway.backend.confidence = None
    sr = validate(room.sr(room.ask(own_file()), kind=kind))
    if kind == "basic_text":
        assert texts(sr)["Certainty of Finding"] == ["not known: this engine says nothing of its confidence"]
    assert "NUM" not in {item.ValueType for item in items(sr)}


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 100", "Müller^Jürgen^^Dr."),
        ("ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", "王^小東"),
    ],
)
def test_a_patients_name_survives_in_any_script(room, own_file, validate, charset, name):
    file = own_file(SpecificCharacterSet=charset, PatientName=name)
    assert name.encode() not in file or charset == "ISO_IR 192"
    sr = validate(room.sr(room.ask(file), comment="Größe unverändert"))
    assert (sr.SpecificCharacterSet, str(sr.PatientName)) == ("ISO_IR 192", name)
    assert texts(sr)["Comment of the reader, not of the model"] == ["Größe unverändert"]


def test_old_and_wrong_values_of_the_image_do_not_break_the_report(room, own_file, validate):
    file = own_file(
        **{"StudyDate": "20200101", "StudyTime": "101112", "PatientSex": "F", "PatientIdentityRemoved": "YES"}
    )
    for right, wrong in {
        b"20200101": b"2020.1.1",
        b"101112": b"10:11 ",
        b"CS\x02\x00F ": b"CS\x02\x00x ",
    }.items():
        assert right in file
        file = file.replace(right, wrong)
    sr = validate(room.sr(room.ask_uploaded(file)))
    assert (sr.StudyDate, sr.StudyTime, sr.PatientSex) == ("", "1011", "")
    assert sr.DeidentificationMethod


@pytest.mark.parametrize(
    ("told", "kept"), [("+0530", "+0530"), ("-0930", "-0930"), ("+9900", None), ("CET", None)]
)
def test_a_time_zone_is_that_of_the_image_if_it_is_one(room, own_file, validate, told, kept):
    sr = validate(room.sr(room.ask(own_file(TimezoneOffsetFromUTC=told))))
    assert sr.get("TimezoneOffsetFromUTC") == kept


def test_the_report_says_what_the_answer_said_and_what_the_model_saw(room, own_file):
    clinical = room.ask(own_file(), window="brain")
    sr = pydicom.dcmread(io.BytesIO(room.sr(clinical, comment="Agreed.")))
    (record,) = clinical["images"]
    told = texts(sr)
    assert told["Request"] == ["Is there a bleed?"]
    assert told["Conclusion"] == ["No acute abnormality is seen."]
    assert told["Certainty of Finding"][0].startswith("83 %, calibrated on closed questions")
    assert told["Comment of the reader, not of the model"] == ["Agreed."]
    assert told["Algorithm Version"] == told["Device Observer Serial Number"] == ["0" * 64]
    assert told["Quality gate of the engine"] == ["passed"]
    assert "not verified" in told["Status of this report"][0]
    assert "tests of the gateway" in told["Status of this report"][0]
    (shown,) = told["Image shown to the model"]
    assert "window center 40, width 80 HU, LINEAR" in shown
    assert record["source_sha256"] in shown
    assert record["pixels_sha256"] in shown


def test_the_report_is_a_draft_in_a_series_of_its_own(room, own_file):
    file = own_file()
    sr = pydicom.dcmread(io.BytesIO(room.sr(room.ask(file))))
    source = pydicom.dcmread(io.BytesIO(file))
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == (
        "PARTIAL",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert (sr.Modality, sr.SeriesDescription) == ("SR", "radserve: draft answer")
    assert sr.StudyInstanceUID == source.StudyInstanceUID
    assert sr.SeriesInstanceUID != source.SeriesInstanceUID
    assert (sr.ManufacturerModelName, sr.DeviceSerialNumber) == ("fake-vqa", "0" * 64)


def test_containers_show_the_names_of_their_items(room, own_file):
    """OHIF 3.13.2 reads the name of every item, and shows it in containers that are SEPARATE only."""
    sr = pydicom.dcmread(io.BytesIO(room.sr(room.ask(own_file()))))
    assert all(item.ConceptNameCodeSequence[0].CodeMeaning for item in items(sr))
    containers = [item for item in items(sr) if item.ValueType == "CONTAINER"]
    assert {item.ContinuityOfContent for item in [sr, *containers]} == {"SEPARATE"}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_a_multi_frame_object_are_referenced(room, validate, own_file, kind):
    file = own_file("SC_rgb_rle_2frame.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.4")
    clinical = room.ask_uploaded(file)
    sr = validate(room.sr(clinical, kind=kind))
    assert [item.frames for item in references(sr)] == [[seen["frame"] for seen in clinical["seen"]]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_is_other_evidence_and_the_report_is_of_the_current_study(room, own_file, validate, kind):
    current, prior = own_file(), own_file(StudyInstanceUID=generate_uid(), StudyDate="20010101")
    sr = validate(room.sr(room.ask(current, prior), kind=kind))
    first, second = (pydicom.dcmread(io.BytesIO(file)) for file in (current, prior))
    assert sr.StudyInstanceUID == first.StudyInstanceUID
    assert evidence(sr.CurrentRequestedProcedureEvidenceSequence) == [first.SOPInstanceUID]
    assert evidence(sr.PertinentOtherEvidenceSequence) == [second.SOPInstanceUID]
    assert len(references(sr)) == 2


def test_a_measurement_report_has_the_confidence_as_a_number_on_its_images(room, own_file, validate):
    sr = validate(room.sr(room.ask(own_file()), kind="tid1500"))
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (number,) = [item for item in items(sr) if item.ValueType == "NUM"]
    assert number.MeasuredValueSequence[0].NumericValue == 83
    assert texts(sr)["Comment"] == ["No acute abnormality is seen."]
    assert [item.ValueType for item in number.ContentSequence] == ["IMAGE"]


def test_control_characters_of_a_question_do_not_reach_the_report(room, own_file, validate):
    room.gateway.backend.words = ("",)
    sr = validate(room.sr(room.ask(own_file(), question="Is\x1b there\x00 a bleed?\nWhere?")))
    assert texts(sr)["Request"] == ["Is  there  a bleed?\nWhere?"]
    assert texts(sr)["Conclusion"] == ["(empty)"]


class Reference:
    """An IMAGE item."""

    def __init__(self, item):
        (found,) = item.ReferencedSOPSequence
        frames = found.get("ReferencedFrameNumber")
        self.instance = found.ReferencedSOPInstanceUID
        self.frames = [frames] if isinstance(frames, int) else frames and list(frames)


def items(node):
    for item in node.get("ContentSequence", ()):
        yield item
        yield from items(item)


def references(sr):
    """Each image once, though a measurement refers to it as its group does."""
    found = [Reference(item) for item in items(sr) if item.ValueType == "IMAGE"]
    return list({item.instance: item for item in found}.values())


def texts(sr):
    found = {}
    for item in items(sr):
        if item.ValueType == "TEXT":
            value = item.TextValue
            found.setdefault(item.ConceptNameCodeSequence[0].CodeMeaning, []).append(str(value))
    return found


def evidence(sequence):
    return [
        instance.ReferencedSOPInstanceUID
        for study in sequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]

"""The FHIR R4 DiagnosticReport of an answer."""

import base64
import hashlib
import re

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydicom.uid import generate_uid


def test_the_report_and_all_that_it_contains_are_valid_fhir(room, own_file):
    prior = own_file(StudyInstanceUID=generate_uid())
    report = room.report(room.ask(own_file(), prior), comment="Agreed.").json()["fhir"]
    for resource in [report, *report["contained"]]:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert [item["resourceType"] for item in report["contained"]] == [
        "Device",
        "ImagingStudy",
        "ImagingStudy",
        "Observation",
    ]
    wrong = {**report, "status": "preliminary", "result": "#answer"}
    with pytest.raises(ValueError, match="result"):
        get_fhir_model_class("DiagnosticReport").model_validate(wrong)


def test_what_is_contained_is_referred_to_and_what_is_referred_to_is_contained(room, own_file):
    """R4's rules dom-2 to dom-5, which the model classes do not check."""
    report = room.report(room.ask(own_file())).json()["fhir"]
    contained = report["contained"]
    assert {f"#{item['id']}" for item in contained} == set(found(report, "reference"))
    assert not any("contained" in item or "meta" in item for item in contained)
    assert all(re.fullmatch(r"[A-Za-z0-9.-]{1,64}", item["id"]) for item in [report, *contained])


def test_it_is_preliminary_and_says_the_same_as_the_sr(room, own_file):
    file = own_file(IssuerOfPatientID="ward 7")
    clinical = room.ask(file)
    told = room.report(clinical).json()
    report = told["fhir"]
    device, study, answer = report["contained"]
    (seen,) = clinical["seen"]
    assert (report["status"], answer["status"]) == ("preliminary", "preliminary")
    assert report["conclusion"] == answer["valueString"] == "No acute abnormality is seen."
    assert answer["code"]["text"] == "Is there a bleed?"
    assert answer["component"][0]["valueQuantity"]["value"] == 83
    assert report["subject"]["identifier"] == {"value": "1CT1", "assigner": {"display": "ward 7"}}
    assert device["identifier"][0]["value"] == "0" * 64
    assert report["identifier"][0]["value"] == f"urn:oid:{told['sop_instance_uid']}"
    assert study["identifier"][0]["value"] == f"urn:oid:{seen['study']}"
    (series,) = study["series"]
    assert (series["uid"], series["instance"][0]["uid"]) == (seen["series"], seen["instance"])
    assert series["modality"]["code"] == "CT"


def test_an_identifier_with_a_backslash_is_told_as_it_is(room, own_file):
    """DICOM takes it for two values."""
    clinical = room.ask(own_file(PatientID="WARD\\7"), own_file(PatientID="WARD\\7"))
    report = room.report(clinical).json()["fhir"]
    assert report["subject"]["identifier"] == {"value": "WARD\\7"}


def test_the_text_form_is_whole_and_undamaged(room, own_file):
    clinical = room.ask(own_file())
    (form,) = room.report(clinical).json()["fhir"]["presentedForm"]
    text = base64.b64decode(form["data"])
    assert form["size"] == len(text)
    assert base64.b64decode(form["hash"]) == hashlib.sha1(text, usedforsecurity=False).digest()
    assert "Answer: No acute abnormality is seen." in text.decode()
    assert clinical["images"][0]["pixels_sha256"] in text.decode()


def test_a_name_is_left_to_the_archive_and_a_missing_patient_id_is_not_made_up(room, own_file):
    report = room.report(room.ask(own_file(PatientID="", PatientName="Doe^Jane"))).json()["fhir"]
    get_fhir_model_class("DiagnosticReport").model_validate(report)
    assert "subject" not in report
    assert "Doe" not in str(report)


def found(value, key):
    if isinstance(value, dict):
        yield from (item for name, item in value.items() if name == key)
        value = value.values()
    if not isinstance(value, str):
        for item in value if hasattr(value, "__iter__") else ():
            yield from found(item, key)

"""The same report as a FHIR R4 DiagnosticReport; what it refers to is contained in it, but for the patient."""

import base64
import hashlib
from collections import defaultdict
from typing import Any

from radserve_server.reports.draft import MANUFACTURER, Draft
from radserve_server.reports.source_images import SourceImage

Resource = dict[str, Any]
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_URI = "urn:ietf:rfc:3986"
_UID = "urn:dicom:uid"
_LOINC = {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}


def describe_report(draft: Draft) -> Resource:
    """https://hl7.org/fhir/R4/diagnosticreport.html, preliminary."""
    studies = _studies(draft)
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "id": draft.answer.answer_id,
        "contained": [_device(draft), *studies, _observation(draft)],
        "identifier": [_uid(draft.sop_instance_uid)],
        "status": "preliminary",
        "category": [{"coding": [_coding("http://terminology.hl7.org/CodeSystem/v2-0074", "RAD")]}],
        "code": {"coding": [_LOINC], "text": "Draft answer of a vision-language model, not verified"},
        "effectiveDateTime": _time(draft),
        "issued": _time(draft),
        "result": [{"reference": "#answer"}],
        "imagingStudy": [{"reference": f"#{study['id']}"} for study in studies],
        "conclusion": draft.text,
        "presentedForm": [_text_form(draft)],
    }
    subject = _subject(draft)
    return report if subject is None else {**report, "subject": subject}


def _subject(draft: Draft) -> Resource | None:
    """By the identifier that the images have; the name is left to the archive."""
    patient_id, issuer = draft.images[0].patient
    if not patient_id:
        return None
    identifier: Resource = {"value": patient_id}
    if issuer:
        identifier["assigner"] = {"display": issuer}
    return {"type": "Patient", "identifier": identifier}


def _device(draft: Draft) -> Resource:
    return {
        "resourceType": "Device",
        "id": "engine",
        "identifier": [{"system": "urn:radserve:engine:sha256", "value": draft.engine_digest}],
        "manufacturer": MANUFACTURER,
        "deviceName": [{"name": draft.answer.model, "type": "model-name"}],
        "version": [{"type": {"text": "radserve"}, "value": draft.version}],
        "note": [{"text": draft.statement}, {"text": f"Quality gate: {draft.gate}"}],
    }


def _studies(draft: Draft) -> list[Resource]:
    """One ImagingStudy for each study that images were of, the current one first."""
    found: dict[str, list[SourceImage]] = defaultdict(list)
    for image in draft.images:
        found[image.study].append(image)
    subject = _subject(draft) or {"display": "The images name no patient"}
    return [_study(number, images, subject) for number, images in enumerate(found.values(), 1)]


def _study(number: int, images: list[SourceImage], subject: Resource) -> Resource:
    series: dict[str, list[SourceImage]] = defaultdict(list)
    for image in images:
        series[str(image.header.SeriesInstanceUID)].append(image)
    return {
        "resourceType": "ImagingStudy",
        "id": f"study-{number}",
        "identifier": [_uid(images[0].study)],
        "status": "available",
        "subject": subject,
        "series": [
            {
                "uid": uid,
                "modality": _coding(_DICOM, str(found[0].header.get("Modality") or "OT")),
                "instance": [_instance(image) for image in found],
            }
            for uid, found in series.items()
        ],
    }


def _instance(image: SourceImage) -> Resource:
    header = image.header
    return {
        "uid": str(header.SOPInstanceUID),
        "sopClass": _coding(_URI, f"urn:oid:{header.SOPClassUID}"),
    }


def _observation(draft: Draft) -> Resource:
    """The answer and its confidence; a reader's comment and the warnings are its notes."""
    notes = [f"Warning: {warning}" for warning in draft.warnings]
    notes += [] if draft.comment is None else [f"Comment of the reader, not of the model: {draft.comment}"]
    observation: Resource = {
        "resourceType": "Observation",
        "id": "answer",
        "status": "preliminary",
        "code": {"text": draft.question},
        "effectiveDateTime": _time(draft),
        "issued": _time(draft),
        "valueString": draft.text,
        "device": {"reference": "#engine"},
        "derivedFrom": [{"reference": "#study-1"}],
        "component": [_confidence(draft)],
    }
    if notes:
        observation["note"] = [{"text": note} for note in notes]
    subject = _subject(draft)
    return observation if subject is None else {**observation, "subject": subject}


def _confidence(draft: Draft) -> Resource:
    code = {"text": "Calibrated probability that the answer is right"}
    share = draft.answer.clinical["confidence"]
    if share is None:
        return {"code": code, "dataAbsentReason": {"text": draft.describe_confidence()}}
    quantity = {
        "value": round(100 * share, 1),
        "unit": "%",
        "system": "http://unitsofmeasure.org",
        "code": "%",
    }
    return {
        "code": code,
        "valueQuantity": quantity,
        "interpretation": [{"text": draft.describe_confidence()}],
    }


def _text_form(draft: Draft) -> Resource:
    text = draft.to_text().encode()
    return {
        "contentType": "text/plain; charset=utf-8",
        "data": base64.b64encode(text).decode(),
        "size": len(text),
        "hash": base64.b64encode(hashlib.sha1(text, usedforsecurity=False).digest()).decode(),
        "title": "Draft answer",
        "creation": _time(draft),
    }


def _uid(uid: str) -> Resource:
    return {"system": _UID, "value": f"urn:oid:{uid}"}


def _coding(system: str, code: str) -> Resource:
    return {"system": system, "code": code}


def _time(draft: Draft) -> str:
    return draft.answer.created.isoformat(timespec="milliseconds")

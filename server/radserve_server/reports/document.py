"""An SR document around a tree of content items: patient, study, series, equipment, evidence (PS3.3 A.35, C.17)."""

import io
import re
from datetime import datetime, timedelta, timezone

from highdicom.sr.utils import collect_evidence
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from radserve_server.reports.draft import MANUFACTURER, Draft
from radserve_server.reports.source_images import PATIENT_TAGS, STUDY_TAGS

SERIES_DESCRIPTION = "radserve: draft answer"
_SERIES_NUMBER = 9000
_RULES = {  # PS3.5 6.2, and PS3.3 C.7.1.1
    "DA": re.compile("[0-9]{8}"),
    "TM": re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?"),
    "PatientSex": re.compile("[MFO]"),
}
_OFFSET = re.compile("[+-](0[0-9]|1[0-4])[0-5][0-9]")  # &ZZXX, PS3.3 C.12.1.1.8
_EMPTY_ALLOWED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def write_document(draft: Draft, sop_class: str, content: Dataset) -> bytes:
    """The file, in Explicit VR Little Endian and UTF-8."""
    document = Dataset()
    document.SpecificCharacterSet = "ISO_IR 192"
    document.SOPClassUID = sop_class
    document.SOPInstanceUID = draft.sop_instance_uid
    _repeat_source(draft.images[0].header, document)
    _add_series(draft, document)
    _add_status(draft, document)
    _add_evidence(draft, document, content)
    document.update(content)
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = io.BytesIO()
    document.save_as(out, enforce_file_format=True)
    return out.getvalue()


def _repeat_source(source: Dataset, document: Dataset) -> None:
    """Patient and study as the image has them, so that archives file the report beside it."""
    for keyword in _EMPTY_ALLOWED:
        setattr(document, keyword, "")
    for keyword in (*PATIENT_TAGS, *STUDY_TAGS):
        if keyword in source:
            document.add(_repeat(source[keyword]))
    if document.get("PatientIdentityRemoved") == "YES" and not (
        document.get("DeidentificationMethod") or document.get("DeidentificationMethodCodeSequence")
    ):
        document.DeidentificationMethod = "not told by the image"  # PS3.3 C.7.1.1 wants one


def _repeat(element: DataElement) -> DataElement:
    """A copy that is free of its source's character set; old dates and times lose their dots and colons.

    What identifies patient and study stays as it is, even where it breaks DICOM's rules; a sex, date or time that
    does is left out.
    """
    vr, value = dictionary_VR(element.tag), element.value
    if vr == "PN":
        value = str(value or "")
    rule = _RULES.get(element.keyword) or _RULES.get(vr)
    if rule is not None:
        value = re.sub("[.:](?=[0-9]{2}([.:]|$))", "", str(value or "").strip())
        value = value if rule.fullmatch(value) else ""
    return DataElement(element.tag, vr, value, validation_mode=IGNORE)


def _add_series(draft: Draft, document: Dataset) -> None:
    document.Modality = "SR"
    document.SeriesInstanceUID = draft.series_instance_uid
    document.SeriesNumber = _SERIES_NUMBER
    document.SeriesDescription = SERIES_DESCRIPTION
    document.ReferencedPerformedProcedureStepSequence = []
    document.Manufacturer = MANUFACTURER
    document.ManufacturerModelName = draft.answer.model.replace("\\", "/")[
        :64
    ]  # an LO has several values by \
    document.DeviceSerialNumber = draft.engine_digest
    document.SoftwareVersions = f"radserve {draft.version}"
    document.InstanceNumber = 1


def _add_status(draft: Draft, document: Dataset) -> None:
    """PARTIAL, because one answer is not the reading of a study; PS3.3 C.17.2."""
    document.CompletionFlag = "PARTIAL"
    document.VerificationFlag = "UNVERIFIED"
    document.PreliminaryFlag = "PRELIMINARY"
    offset = str(draft.images[0].header.get("TimezoneOffsetFromUTC") or "").strip()
    if not _OFFSET.fullmatch(offset):
        offset = ""
    if offset:
        document.TimezoneOffsetFromUTC = offset
    created = _local(draft.answer.created, offset)
    document.ContentDate = created.strftime("%Y%m%d")
    document.ContentTime = created.strftime("%H%M%S.%f")
    document.PerformedProcedureCodeSequence = []


def _local(moment: datetime, offset: str) -> datetime:
    """All dates of an object are in one time zone: the source's, or else that of this machine."""
    if offset:
        shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        return moment.astimezone(timezone(-shift if offset[0] == "-" else shift))
    return moment.astimezone()


def _add_evidence(draft: Draft, document: Dataset, content: Dataset) -> None:
    """Images of this study, and those of others, such as a prior."""
    headers = [image.header for image in draft.images]
    current, other = collect_evidence(headers, content, study_instance_uid=draft.images[0].study)
    document.CurrentRequestedProcedureEvidenceSequence = current
    if other:
        document.PertinentOtherEvidenceSequence = other

"""What a work item must hold when it is created, changed and ended (PS3.4 table CC.2.5-3)."""

from collections.abc import Iterable

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from radserve_server.errors import Conflict, InvalidRequest
from radserve_server.worklist.dates import read_time
from radserve_server.worklist.dicom_json import name_tag
from radserve_server.worklist.workitem import State

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""The SOP class of every work item."""

_VALUED = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
    "ProcedureStepState",
)
_PRESENT = (
    *("WorklistLabel", "ScheduledProcessingParametersSequence", "ScheduledStationNameCodeSequence"),
    *("ScheduledStationClassCodeSequence", "ScheduledStationGeographicLocationCodeSequence"),
    *("ScheduledWorkitemCodeSequence", "CommentsOnTheScheduledProcedureStep", "InputInformationSequence"),
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AdmissionID"),
    *("IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence"),
    "ReferencedRequestSequence",
)
_EMPTY = (
    "TransactionUID",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
_FIXED = (
    *("SOPClassUID", "SOPInstanceUID", "ProcedureStepState", "ScheduledProcedureStepModificationDateTime"),
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"),
    *("PatientBirthDate", "PatientSex", "AdmissionID", "IssuerOfAdmissionIDSequence"),
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "ReferencedRequestSequence"),
    "ReplacedProcedureStepSequence",
)
_ENUMERATED = {
    "ScheduledProcedureStepPriority": ("HIGH", "MEDIUM", "LOW"),
    "InputReadinessState": ("INCOMPLETE", "UNAVAILABLE", "READY"),
}
_TIMES = (
    *("ScheduledProcedureStepStartDateTime", "ExpectedCompletionDateTime"),
    "ScheduledProcedureStepExpirationDateTime",
)
_CODED = (
    *("ScheduledStationNameCodeSequence", "ScheduledStationClassCodeSequence"),
    *("ScheduledStationGeographicLocationCodeSequence", "ScheduledWorkitemCodeSequence"),
)
_PERFORMED = (
    *("PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime"),
    *("PerformedWorkitemCodeSequence", "PerformedProcedureStepEndDateTime"),
)


def check_creation(dataset: Dataset) -> None:
    """Raises InvalidRequest naming every attribute that is missing, or the first that is wrong."""
    missing = [keyword for keyword in _VALUED if not _has_value(dataset, keyword)]
    missing += [keyword for keyword in _PRESENT if keyword not in dataset]
    if missing:
        raise InvalidRequest(
            f"missing: {_name_all(missing)} (PS3.4 table CC.2.5-3)",
            code="missing_attribute",
            param=missing[0],
        )
    if dataset.ProcedureStepState != State.SCHEDULED:
        raise _wrong("a work item is created SCHEDULED", "ProcedureStepState")
    for keyword in _EMPTY:
        if _has_value(dataset, keyword):
            raise _wrong(f"{_name(keyword)} must be empty when a work item is created", keyword)
    if dataset.get("SOPClassUID", UPS_PUSH) != UPS_PUSH:
        raise _wrong(f"{_name('SOPClassUID')} of a work item is {UPS_PUSH}", "SOPClassUID")
    _check_values(dataset)


def check_update(changes: Dataset) -> None:
    """Raises InvalidRequest naming an attribute that cannot be changed, or not emptied."""
    for keyword in _FIXED:
        if keyword in changes:
            raise _wrong(f"{_name(keyword)} cannot be changed", keyword)
    for keyword in _VALUED:
        if keyword in changes and not _has_value(changes, keyword):
            raise _wrong(f"{_name(keyword)} must have a value", keyword)
    _check_values(changes)


def check_action(dataset: Dataset, *keywords: str) -> None:
    """Raises InvalidRequest naming what does not belong to an action's information (PS3.4 CC.2.1, CC.2.2)."""
    for element in dataset:
        if element.keyword not in (*keywords, "SpecificCharacterSet"):
            message = f"{name_tag(int(element.tag))} does not belong here"
            raise InvalidRequest(message, code="unsupported_field", param=element.keyword or None)
    for item in dataset.get("ProcedureStepDiscontinuationReasonCodeSequence") or ():
        _check_code(item, "ProcedureStepDiscontinuationReasonCodeSequence")


def _check_values(dataset: Dataset) -> None:
    """Raises InvalidRequest naming an attribute whose value is not among those that DICOM knows."""
    for keyword, allowed in _ENUMERATED.items():
        if keyword in dataset and dataset.get(keyword) not in allowed:
            raise _wrong(f"{_name(keyword)} is none of {', '.join(allowed)}", keyword)
    for keyword in _TIMES:
        if dataset.get(keyword):
            _check_time(str(dataset.get(keyword)), keyword)
    for keyword in _CODED:
        for item in dataset.get(keyword) or ():
            _check_code(item, keyword)
    for number, item in enumerate(dataset.get("InputInformationSequence") or ()):
        _check_input(item, f"InputInformationSequence.{number}")
    for item in dataset.get("ProcedureStepProgressInformationSequence") or ():
        if not 0 <= float(item.get("ProcedureStepProgress") or 0) <= 100:
            raise _wrong(f"{_name('ProcedureStepProgress')} is no percentage", "ProcedureStepProgress")


def check_final(dataset: Dataset, state: State) -> None:
    """Raises Conflict naming what a COMPLETED or CANCELED work item must hold, and this one does not."""
    if state is State.CANCELED:
        progress = dataset.get("ProcedureStepProgressInformationSequence") or [Dataset()]
        missing = _missing(progress, ("ProcedureStepDiscontinuationReasonCodeSequence",))
    else:
        performed = dataset.get("UnifiedProcedureStepPerformedProcedureSequence") or [Dataset()]
        missing = _missing(performed, _PERFORMED)
        if any("OutputInformationSequence" not in item for item in performed):
            missing.append("OutputInformationSequence")
    if missing:
        raise Conflict(
            f"before it is {state}, the work item needs {_name_all(missing)} (PS3.4 table CC.2.5-3): update it",
            code="final_state_requirements",
            param=missing[0],
            warning="299 radserve: The submitted request is inconsistent with the state of the UPS Instance.",
        )


def _check_time(value: str, keyword: str) -> None:
    try:
        read_time(value)
    except (ValueError, OverflowError):
        raise _wrong(f"{_name(keyword)} is no date and time", keyword) from None


def _check_code(item: Dataset, param: str) -> None:
    valued = any(_has_value(item, name) for name in ("CodeValue", "LongCodeValue", "URNCodeValue"))
    if not valued or not _has_value(item, "CodeMeaning"):
        raise _wrong(f"an item of {_name(param)} lacks its code's value or meaning", param)
    if not _has_value(item, "CodingSchemeDesignator") and not _has_value(item, "URNCodeValue"):
        raise _wrong(f"an item of {_name(param)} lacks {_name('CodingSchemeDesignator')}", param)


def _check_input(item: Dataset, param: str) -> None:
    """PS3.3 table 10-3b, but a whole study or series may be named without listing its instances."""
    if item.get("TypeOfInstances") not in ("DICOM", "CDA"):
        raise _wrong(f"{_name('TypeOfInstances')} is neither DICOM nor CDA", f"{param}.TypeOfInstances")
    if item.TypeOfInstances == "DICOM" and not _has_value(item, "StudyInstanceUID"):
        raise _wrong(f"{_name('StudyInstanceUID')} is missing in {param}", f"{param}.StudyInstanceUID")


def _missing(items: Iterable[Dataset], keywords: Iterable[str]) -> list[str]:
    return [keyword for keyword in keywords if not all(_has_value(item, keyword) for item in items)]


def _has_value(dataset: Dataset, keyword: str) -> bool:
    return keyword in dataset and not dataset[keyword].is_empty


def _wrong(message: str, keyword: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_attribute", param=keyword)


def _name(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    return keyword if tag is None else name_tag(tag)


def _name_all(keywords: Iterable[str]) -> str:
    return ", ".join(_name(keyword) for keyword in keywords)

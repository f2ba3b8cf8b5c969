"""What this server writes into the items that it performs: progress, results, reasons (PS3.3 C.30.1, C.30.3)."""

from pydicom import Dataset

from radserve_server.pacs.archive import Archive
from radserve_server.worklist.codes import ANSWER_QUESTIONS, ENGINE_DIGEST, STATION, Code

_LONGEST_TITLE = 16


def describe_progress(done: int, questions: int) -> Dataset:
    """As changes to an item: the share of the questions that is answered."""
    progress = Dataset()
    progress.ProcedureStepProgress = str(round(100 * done / questions))
    progress.ProcedureStepProgressDescription = f"{done} of {questions} questions answered"
    changes = Dataset()
    changes.ProcedureStepProgressInformationSequence = [progress]
    return changes


def describe_performed(
    started: str, ended: str | None, outputs: list[Dataset], engine: str | None
) -> Dataset:
    """As changes to an item: who did what when (DT), with which results, by which engine (its digest)."""
    performed = Dataset()
    performed.ActualHumanPerformersSequence = []
    performed.PerformedStationNameCodeSequence = [STATION.to_item()]
    performed.PerformedStationClassCodeSequence = []
    performed.PerformedStationGeographicLocationCodeSequence = []
    performed.PerformedProcedureStepStartDateTime = started
    performed.PerformedWorkitemCodeSequence = [ANSWER_QUESTIONS.to_item()]
    if engine is not None:
        performed.PerformedProcessingParametersSequence = [_describe_engine(engine)]
    if ended is not None:
        performed.PerformedProcedureStepEndDateTime = ended
    performed.OutputInformationSequence = outputs
    changes = Dataset()
    changes.UnifiedProcedureStepPerformedProcedureSequence = [performed]
    return changes


def describe_output(archive: Archive, study: str, series: str, sop_class: str, instance: str) -> Dataset:
    """A report as an item of Output Information Sequence (PS3.3 table 10-3b)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, instance
    output = Dataset()
    output.TypeOfInstances = "DICOM"
    output.StudyInstanceUID, output.SeriesInstanceUID = study, series
    output.ReferencedSOPSequence = [reference]
    way = Dataset()
    if archive.url is not None:
        way.RetrieveURL = f"{archive.url.rstrip('/')}/studies/{study}/series/{series}"
        output.WADORSRetrievalSequence = [way]
    elif len(archive.name) <= _LONGEST_TITLE:
        way.RetrieveAETitle = archive.name
        output.DICOMRetrievalSequence = [way]
    return output


def describe_reason(code: Code, text: str) -> Dataset:
    """Why an item is canceled, as a cancel request says it."""
    reason = Dataset()
    reason.ReasonForCancellation = text
    reason.ProcedureStepDiscontinuationReasonCodeSequence = [code.to_item()]
    return reason


def _describe_engine(digest: str) -> Dataset:
    parameter = Dataset()
    parameter.ValueType = "TEXT"
    parameter.ConceptNameCodeSequence = [ENGINE_DIGEST.to_item()]
    parameter.TextValue = digest
    return parameter

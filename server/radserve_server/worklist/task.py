"""What a work item for this server asks: questions, and the images they are about."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import ValidationError
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from radserve_server.bodies import invalid_fields
from radserve_server.errors import InvalidRequest
from radserve_server.pacs.archive import Archive, Archives
from radserve_server.schemas import DicomReference
from radserve_server.worklist.codes import ANSWER_QUESTIONS, QUESTION, SCHEME
from radserve_server.worklist.dicom_json import name_tag

_MAX_QUESTIONS = 32
_MAX_CHARACTERS = 10_000
_OTHER_WAYS = ("DICOMMediaRetrievalSequence", "WADORetrievalSequence", "XDSRetrievalSequence")


@dataclass(frozen=True, slots=True)
class Input:
    """Images of one series, or a whole study or series, in one archive; frames count from 1."""

    pacs: str
    study: str
    series: str | None
    instances: tuple[str, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """Each question is asked about all inputs together."""

    inputs: tuple[Input, ...]
    questions: tuple[str, ...]


def read_task(dataset: Dataset, archives: Archives) -> Task:
    """Raises InvalidRequest naming the tag of what this server cannot do."""
    workitems = dataset.get("ScheduledWorkitemCodeSequence")
    if workitems and not ANSWER_QUESTIONS.is_in(workitems):
        message = (
            f"this server does one thing: ({ANSWER_QUESTIONS.value}, {SCHEME}, {ANSWER_QUESTIONS.meaning!r})"
        )
        raise _wrong("ScheduledWorkitemCodeSequence", message)
    parameters = dataset.get("ScheduledProcessingParametersSequence") or ()
    questions = tuple(_read_question(item) for item in parameters)
    if not 1 <= len(questions) <= _MAX_QUESTIONS:
        message = f"it holds {len(questions)} questions; 1 to {_MAX_QUESTIONS} are answered"
        raise _wrong("ScheduledProcessingParametersSequence", message)
    inputs = tuple(_read_input(item, archives) for item in dataset.get("InputInformationSequence") or ())
    if not inputs and dataset.get("InputReadinessState") == "READY":
        raise _wrong("InputInformationSequence", "it names no images")
    return Task(inputs, questions)


def make_reference(given: Input) -> DicomReference:
    """As questions name images; raises InvalidRequest for what they cannot."""
    told = {**asdict(given), "instances": list(given.instances), "frames": list(given.frames)}
    try:
        return DicomReference.model_validate(told)
    except ValidationError as error:
        raise invalid_fields(error) from None


def _read_question(item: Dataset) -> str:
    """A TEXT content item (PS3.3 table 10-2) whose concept is a question."""
    sequence = "ScheduledProcessingParametersSequence"
    if item.get("ValueType") != "TEXT" or not QUESTION.is_in(item.get("ConceptNameCodeSequence")):
        message = f"an item is no question: value type TEXT, concept name ({QUESTION.value}, {SCHEME})"
        raise _wrong(sequence, message)
    text = str(item.get("TextValue") or "").strip()
    if not 0 < len(text) <= _MAX_CHARACTERS:
        raise _wrong("TextValue", f"a question has 1 to {_MAX_CHARACTERS:,} characters")
    return text


def _read_input(item: Dataset, archives: Archives) -> Input:
    if item.get("TypeOfInstances") != "DICOM":
        raise _wrong("TypeOfInstances", "only DICOM instances are looked at")
    references = item.get("ReferencedSOPSequence") or ()
    instances = tuple(str(one.get("ReferencedSOPInstanceUID") or "") for one in references)
    if instances and (not item.get("SeriesInstanceUID") or not all(instances)):
        raise _wrong("ReferencedSOPSequence", "its items need their UID, and the series they are in")
    return Input(
        _find_archive(item, archives).name,
        str(item.StudyInstanceUID),
        str(item.SeriesInstanceUID) if item.get("SeriesInstanceUID") else None,
        instances,
        _read_frames(references),
    )


def _read_frames(references: Sequence[Dataset]) -> tuple[int, ...]:
    frames: set[tuple[int, ...]] = set()
    for one in references:
        told = one.get("ReferencedFrameNumber")
        several = told if isinstance(told, Sequence) and not isinstance(told, str) else [told]
        frames.add(tuple(int(number) for number in several if number is not None))
    if len(frames) > 1:
        message = "the instances of one item must be of the same frames: send an item for each"
        raise _wrong("ReferencedFrameNumber", message)
    return next(iter(frames), ())


def _find_archive(item: Dataset, archives: Archives) -> Archive:
    """By the address or the AE title that images are to be retrieved from; else the only archive there is."""
    addresses = [str(way.get("RetrieveURL")) for way in item.get("WADORSRetrievalSequence") or ()]
    titles = [str(way.get("RetrieveAETitle")) for way in item.get("DICOMRetrievalSequence") or ()]
    if not addresses and not titles:
        other = next((keyword for keyword in _OTHER_WAYS if item.get(keyword)), None)
        if other is not None:
            raise _wrong(other, "images are retrieved by WADO-RS from configured archives only")
        return archives.get(None, "InputInformationSequence")
    for archive in archives.by_name.values():
        if archive.name in titles or any(is_within(archive, address) for address in addresses):
            return archive
    known = ", ".join(archives.by_name) or "none"
    keyword = "WADORSRetrievalSequence" if addresses else "DICOMRetrievalSequence"
    raise _wrong(keyword, f"it names none of the configured archives ({known})")


def address_of(archive: Archive) -> str | None:
    """Where an archive's DICOMweb service is; None for one that has none."""
    address = getattr(archive, "url", None)
    return None if address is None else str(address).rstrip("/")


def is_within(archive: Archive, address: str) -> bool:
    """Whether an address is of that archive: nothing else is ever fetched."""
    known = address_of(archive)
    return known is not None and address.startswith(f"{known}/")


def _wrong(keyword: str, message: str) -> InvalidRequest:
    named = name_tag(int(tag_for_keyword(keyword) or 0))
    return InvalidRequest(f"{named}: {message}", code="unsupported_workitem", param=keyword)

"""What a work item for this server asks: questions, and the images they are about."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pydantic import ValidationError
from pydicom import Dataset

from radserve_server.bodies import invalid_fields
from radserve_server.pacs.archive import Archives
from radserve_server.schemas import DicomReference
from radserve_server.worklist.codes import ANSWER_QUESTIONS, QUESTION, SCHEME
from radserve_server.worklist.whereabouts import find_destination, find_source, refuse

_MAX_QUESTIONS = 32
_MAX_CHARACTERS = 10_000


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
    """Each question is asked about all inputs together, and its report goes to the archive `destination`."""

    inputs: tuple[Input, ...]
    questions: tuple[str, ...]
    destination: str


def read_task(dataset: Dataset, archives: Archives) -> Task:
    """Raises InvalidRequest naming the tag of what this server cannot do."""
    questions = _read_questions(dataset)
    inputs = tuple(_read_input(item, archives) for item in dataset.get("InputInformationSequence") or ())
    if not inputs and dataset.get("InputReadinessState") == "READY":
        raise refuse("InputInformationSequence", "it names no images")
    destination = find_destination(dataset, [given.pacs for given in inputs], archives)
    return Task(inputs, questions, destination)


def _read_questions(dataset: Dataset) -> tuple[str, ...]:
    workitems = dataset.get("ScheduledWorkitemCodeSequence")
    if workitems and not ANSWER_QUESTIONS.is_in(workitems):
        message = (
            f"this server does one thing: ({ANSWER_QUESTIONS.value}, {SCHEME}, {ANSWER_QUESTIONS.meaning!r})"
        )
        raise refuse("ScheduledWorkitemCodeSequence", message)
    parameters = dataset.get("ScheduledProcessingParametersSequence") or ()
    questions = tuple(_read_question(item) for item in parameters)
    if not 1 <= len(questions) <= _MAX_QUESTIONS:
        message = f"it holds {len(questions)} questions; 1 to {_MAX_QUESTIONS} are answered"
        raise refuse("ScheduledProcessingParametersSequence", message)
    return questions


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
        raise refuse(sequence, message)
    text = str(item.get("TextValue") or "").strip()
    if not 0 < len(text) <= _MAX_CHARACTERS:
        raise refuse("TextValue", f"a question has 1 to {_MAX_CHARACTERS:,} characters")
    return text


def _read_input(item: Dataset, archives: Archives) -> Input:
    if item.get("TypeOfInstances") != "DICOM":
        raise refuse("TypeOfInstances", "only DICOM instances are looked at")
    references = item.get("ReferencedSOPSequence") or ()
    instances = tuple(str(one.get("ReferencedSOPInstanceUID") or "") for one in references)
    if instances and (not item.get("SeriesInstanceUID") or not all(instances)):
        raise refuse("ReferencedSOPSequence", "its items need their UID, and the series they are in")
    return Input(
        find_source(item, archives).name,
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
        raise refuse("ReferencedFrameNumber", message)
    return next(iter(frames), ())

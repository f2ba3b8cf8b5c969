"""A Comprehensive 3D SR by TID 1500: the confidence is a number on the images it is about, the answer a comment."""

from highdicom.sr import (
    CodedConcept,
    LanguageOfContentItemAndDescendants,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, Comprehensive3DSRStorage

from radserve_server.reports.content import (
    ENGINE_GATE,
    IMAGE_SHOWN,
    READERS_COMMENT,
    STATUS,
    WARNING,
    algorithm,
    name_image,
    observer,
    text_item,
)
from radserve_server.reports.document import write_document
from radserve_server.reports.draft import Draft, clean_text

# TID 1500 wants a language, and nobody said in which one was asked and answered.
_ANY_LANGUAGE = CodedConcept("und", "RFC5646", "Undetermined")


def write_measurement_report(draft: Draft) -> bytes:
    """The file."""
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(draft)),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(draft)],
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(_ANY_LANGUAGE),
    )
    (root,) = report
    return write_document(draft, Comprehensive3DSRStorage, root)


def _group(draft: Draft) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501, extended by texts."""
    sampled = draft.answer.clinical["confidence"]
    measurements = [] if sampled is None else [_confidence(draft, sampled)]
    unsure = [] if measurements else [_unknown_confidence()]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=UID(draft.series_instance_uid), identifier=draft.answer.answer_id
        ),
        algorithm_id=algorithm(draft),
        measurements=measurements,
        qualitative_evaluations=unsure,
        source_images=[SourceImageForMeasurementGroup(**name_image(image)) for image in draft.images],
    )
    (item,) = group
    _add_texts(draft, item)
    return group


def _confidence(draft: Draft, share: float) -> Measurement:
    """In percent, inferred from the images."""
    return Measurement(
        name=codes.DCM.CertaintyOfFinding,
        value=round(100 * share, 1),
        unit=codes.UCUM.Percent,
        referenced_images=[SourceImageForMeasurement(**name_image(image)) for image in draft.images],
    )


def _unknown_confidence() -> QualitativeEvaluation:
    return QualitativeEvaluation(name=codes.DCM.CertaintyOfFinding, value=codes.SCT.Unknown)


def _add_texts(draft: Draft, item: Dataset) -> None:
    texts = [
        text_item(STATUS, draft.statement),
        text_item(codes.DCM.Request, draft.question),
        text_item(codes.DCM.Comment, draft.text),
        *(text_item(WARNING, warning) for warning in draft.warnings),
        *(text_item(IMAGE_SHOWN, line) for line in draft.describe_images()),
        text_item(ENGINE_GATE, draft.gate),
    ]
    if draft.comment is not None:
        texts.append(text_item(READERS_COMMENT, clean_text(draft.comment)))
    item.ContentSequence.extend(texts)

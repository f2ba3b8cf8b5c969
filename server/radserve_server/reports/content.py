"""Content items that every SR of an answer has, whatever its template."""

from collections.abc import Sequence
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageContentItem,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from radserve_server.reports.draft import MANUFACTURER, Draft
from radserve_server.reports.source_images import SourceImage

OWN_CODES = "99RADSERVE"
WARNING = CodedConcept("WARNING", OWN_CODES, "Warning")
STATUS = CodedConcept("STATUS", OWN_CODES, "Status of this report")
IMAGE_SHOWN = CodedConcept("IMAGE-SHOWN", OWN_CODES, "Image shown to the model")
IMAGES_SHOWN = CodedConcept("IMAGES-SHOWN", OWN_CODES, "What the model saw")
READERS_COMMENT = CodedConcept("READERS-COMMENT", OWN_CODES, "Comment of the reader, not of the model")
ENGINE_GATE = CodedConcept("ENGINE-GATE", OWN_CODES, "Quality gate of the engine")


def text_item(name: Code | CodedConcept, value: str) -> TextContentItem:
    """CONTAINS TEXT."""
    return TextContentItem(name=name, value=value, relationship_type=RelationshipTypeValues.CONTAINS)


def container(name: Code | CodedConcept, items: Sequence[ContentItem]) -> ContainerContentItem:
    """CONTAINS CONTAINER, whose items viewers show with their names."""
    found = ContainerContentItem(
        name=name, is_content_continuous=False, relationship_type=RelationshipTypeValues.CONTAINS
    )
    found.ContentSequence = ContentSequence(items)
    return found


def observer(draft: Draft) -> ObserverContext:
    """TID 1002 and 1004: the engine, by its digest."""
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=draft.engine_uid,
            name=f"radserve {draft.version}",
            manufacturer_name=MANUFACTURER,
            model_name=draft.answer.model,
            serial_number=draft.engine_digest,
        ),
    )


def algorithm(draft: Draft) -> AlgorithmIdentification:
    """TID 4019: the engine's name and digest, and how images are shown to it."""
    engine = draft.engine
    parameters = {"precision": engine["precision"], "target": engine["target"]}
    parameters["image policy sha256"] = engine["policy_sha256"]
    return AlgorithmIdentification(
        name=draft.answer.model,
        version=draft.engine_digest,
        parameters=[f"{name}: {value}" for name, value in parameters.items() if value is not None],
        manufacturer=MANUFACTURER,
    )


def name_image(image: SourceImage) -> dict[str, Any]:
    """How highdicom's references to an image name it; frames only of a multi-frame object."""
    return {
        "referenced_sop_class_uid": str(image.header.SOPClassUID),
        "referenced_sop_instance_uid": str(image.header.SOPInstanceUID),
        "referenced_frame_numbers": list(image.frames) if image.is_multiframe else None,
    }


def image_references(draft: Draft) -> list[ImageContentItem]:
    """INFERRED FROM IMAGE, with the frames of a multi-frame object."""
    return [
        ImageContentItem(
            name=codes.DCM.SourceImage,
            **name_image(image),
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )
        for image in draft.images
    ]

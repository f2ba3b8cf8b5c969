"""A Basic Text SR: what a person reads first comes first, since viewers show the items in their order."""

from highdicom.sr import ContainerContentItem, ContentSequence
from pydicom.sr.codedict import codes
from pydicom.uid import BasicTextSRStorage

from radserve_server.reports.content import (
    ENGINE_GATE,
    IMAGE_SHOWN,
    IMAGES_SHOWN,
    READERS_COMMENT,
    STATUS,
    WARNING,
    algorithm,
    container,
    image_references,
    observer,
    text_item,
)
from radserve_server.reports.document import write_document
from radserve_server.reports.draft import Draft, clean_text


def write_basic_text(draft: Draft) -> bytes:
    """The file."""
    return write_document(draft, BasicTextSRStorage, _root(draft))


def _root(draft: Draft) -> ContainerContentItem:
    root = ContainerContentItem(name=codes.LN.DiagnosticImagingReport, is_content_continuous=False)
    root.ContentSequence = ContentSequence(
        [
            text_item(STATUS, draft.statement),
            container(codes.LN.Request, [text_item(codes.DCM.Request, draft.question)]),
            _conclusions(draft),
            container(IMAGES_SHOWN, [text_item(IMAGE_SHOWN, line) for line in draft.describe_images()]),
            *observer(draft),
        ],
        is_root=False,
    )
    return root


def _conclusions(draft: Draft) -> ContainerContentItem:
    """References to images hang below the answer, because viewers show nothing of them but their name."""
    answer = text_item(codes.DCM.Conclusion, draft.text)
    answer.ContentSequence = ContentSequence(image_references(draft))
    items = [answer, text_item(codes.DCM.CertaintyOfFinding, draft.describe_confidence())]
    items += [text_item(WARNING, warning) for warning in draft.warnings]
    if draft.comment is not None:
        items.append(text_item(READERS_COMMENT, clean_text(draft.comment)))
    return container(codes.LN.Conclusions, [*items, *algorithm(draft), text_item(ENGINE_GATE, draft.gate)])

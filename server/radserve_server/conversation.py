"""From OpenAI's messages to the engine's: text stays, images become placeholders in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from radserve_server.errors import InvalidRequest
from radserve_server.schemas import DicomPart, DicomReference, ImagePart, Message, TextPart


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image part's URL and its path in the request."""

    url: str
    param: str

    @property
    def payload(self) -> str:
        """What follows the media type in a data: URI."""
        return self.url.rpartition(",")[2]


@dataclass(frozen=True, slots=True)
class ArchiveImages:
    """What a request names in an archive, and its path in the request."""

    reference: DicomReference
    param: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """`messages` as the engine reads them, `images` in the order of their placeholders."""

    messages: tuple[dict[str, Any], ...]
    images: tuple[ImageReference | ArchiveImages, ...]


def read_conversation(messages: Sequence[Message]) -> Conversation:
    """Raises InvalidRequest for what is no question."""
    _check_question(messages)
    told: list[dict[str, Any]] = []
    images: list[ImageReference | ArchiveImages] = []
    for index, message in enumerate(messages):
        role = "system" if message.role == "developer" else message.role
        if isinstance(message.content, str):
            told.append({"role": role, "content": message.content})
            continue
        parts: list[dict[str, str]] = []
        for number, part in enumerate(message.content):
            path = f"messages.{index}.content.{number}"
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": part.text})
            elif isinstance(part, ImagePart | DicomPart):
                if role != "user":
                    raise InvalidRequest(f"only messages of the user carry images, not {role}", param=path)
                parts.append({"type": "image"})
                images.append(_refer(part, path))
        told.append({"role": role, "content": parts})
    return Conversation(tuple(told), tuple(images))


def _refer(part: ImagePart | DicomPart, path: str) -> ImageReference | ArchiveImages:
    if isinstance(part, DicomPart):
        return ArchiveImages(part.image_dicom, f"{path}.image_dicom")
    return ImageReference(part.image_url.url, f"{path}.image_url.url")


def ask_about_images(question: str, count: int) -> tuple[dict[str, Any], ...]:
    """One message: the images, then the question."""
    if not question.strip():
        raise InvalidRequest("the question is empty", code="empty_question", param="question")
    parts = [{"type": "image"}] * count
    return ({"role": "user", "content": [*parts, {"type": "text", "text": question}]},)


def spread_images(messages: Sequence[dict[str, Any]], counts: Sequence[int]) -> tuple[dict[str, Any], ...]:
    """Repeat the placeholder of each image by how many it became: a series may be shown as several."""
    if all(count == 1 for count in counts):
        return tuple(messages)
    remaining = iter(counts)
    spread = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = [
                part for part in content for _ in range(next(remaining) if part["type"] == "image" else 1)
            ]
        spread.append({**message, "content": content})
    return tuple(spread)


def _check_question(messages: Sequence[Message]) -> None:
    last = messages[-1]
    where = f"messages.{len(messages) - 1}"
    if last.role != "user":
        raise InvalidRequest("the last message must be the user's", param=f"{where}.role")
    if isinstance(last.content, str):
        texts = [last.content]
    else:
        texts = [part.text for part in last.content if isinstance(part, TextPart)]
    if not any(text.strip() for text in texts):
        raise InvalidRequest("the question is empty", code="empty_question", param=f"{where}.content")

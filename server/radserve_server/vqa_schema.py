"""The requests of POST /v1/vqa and POST /v1/render, and the same fields as a form or a query has them."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from radserve_server.errors import InvalidRequest
from radserve_server.schemas import DicomReference, ReadingWish, Sampling, Strict

_NESTED = ("window", "slices")
_LISTS = ("image_ids", "series_ids", "stop")


class VqaRequest(Sampling, ReadingWish):
    """A question about uploaded images, or about the `image` files of the form it came in."""

    question: str
    image_ids: list[str] = Field(default_factory=list, max_length=64, description="from POST /v1/images")
    series_ids: list[str] = Field(default_factory=list, max_length=8, description="from POST /v1/series")
    image_dicom: list[DicomReference] = Field(default_factory=list, max_length=64, description="in a PACS")
    model: str | None = Field(None, max_length=200, description="default: the one there is")


class RenderRequest(ReadingWish):
    """Which uploaded image or series to show, unless an image's bytes came with the request."""

    image_id: str | None = Field(None, description="from POST /v1/images")
    series_id: str | None = Field(None, description="from POST /v1/series")


class SeriesRequest(Strict):
    """Uploaded images that may belong to series."""

    image_ids: list[str] = Field(min_length=1, max_length=5000, description="from POST /v1/images")


def gather_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Form or query fields as JSON has them: window_* and slices_* are nested, repeated ones are lists.

    `window` alone is a preset's name.
    """
    fields: dict[str, Any] = {}
    into: Any
    for name, value in pairs:
        if name in _LISTS:
            fields.setdefault(name, []).append(value)
            continue
        outer, _, inner = name.partition("_")
        nested = outer in _NESTED and inner
        into, key = (fields.setdefault(outer, {}), inner) if nested else (fields, name)
        if not isinstance(into, dict) or key in into:
            raise InvalidRequest(f"field {name} was given twice", param=name)
        into[key] = value
    return fields

"""The requests of POST /v1/vqa and POST /v1/render, and the same fields as a form or a query has them."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from radserve_server.errors import InvalidRequest
from radserve_server.schemas import DicomReference, ReadingWish, Sampling, Strict

_NESTED = ("window", "slices")
_LISTS = ("image_ids", "series_ids", "stop")


def _refuse_text(value: Any) -> Any:
    """A form and a query have no place for a reference."""
    if isinstance(value, str):
        raise ValueError("references to a PACS are sent in a JSON body, not in a form or a query")
    return value


def _list_references(value: Any) -> Any:
    """One reference may stand without a list around it."""
    return [value] if isinstance(value, dict) else _refuse_text(value)


class VqaRequest(Sampling, ReadingWish):
    """A question about uploaded images, or about the `image` files of the form it came in."""

    question: str
    image_ids: list[str] = Field(default_factory=list, max_length=64, description="from POST /v1/images")
    series_ids: list[str] = Field(default_factory=list, max_length=8, description="from POST /v1/series")
    image_dicom: Annotated[list[DicomReference], BeforeValidator(_list_references)] = Field(
        default_factory=list, max_length=64, description="in a PACS; one alone needs no list"
    )
    model: str | None = Field(None, max_length=200, description="default: the one there is")


class RenderRequest(ReadingWish):
    """Which image or series to show, unless an image's bytes came with the request."""

    image_id: str | None = Field(None, description="from POST /v1/images")
    series_id: str | None = Field(None, description="from POST /v1/series")
    image_dicom: Annotated[DicomReference | None, BeforeValidator(_refuse_text)] = Field(
        None, description="in a PACS"
    )


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

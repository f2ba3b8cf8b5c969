"""The requests of POST /v1/vqa and POST /v1/render, and the same fields as a form or a query has them."""

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from radserve_server.errors import InvalidRequest
from radserve_server.schemas import ReadingWish, Sampling

WINDOW_FIELDS = ("window_center", "window_width", "window_function")
_LISTS = ("image_ids", "stop")


class VqaRequest(Sampling, ReadingWish):
    """A question about uploaded images, or about the `image` files of the form it came in."""

    question: str
    image_ids: list[str] = Field(default_factory=list, max_length=64, description="from POST /v1/images")
    model: str | None = Field(None, max_length=200, description="default: the one there is")


class RenderRequest(ReadingWish):
    """Which uploaded image to show, unless its bytes came with the request."""

    image_id: str | None = Field(None, description="from POST /v1/images")


def gather_fields(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Form or query fields as JSON has them: window_* go into `window`, repeated ones into lists."""
    fields: dict[str, Any] = {}
    window: dict[str, str] = {}
    for name, value in pairs:
        if name in _LISTS:
            fields.setdefault(name, []).append(value)
            continue
        into, key = (window, name.removeprefix("window_")) if name in WINDOW_FIELDS else (fields, name)
        if key in into:
            raise InvalidRequest(f"field {name} was given twice", param=name)
        into[key] = value
    return {**fields, "window": window} if window else fields

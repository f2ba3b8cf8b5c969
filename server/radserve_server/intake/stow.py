"""STOW-RS, PS3.18 10.5: a study's instances out of a multipart body as it arrives, and the answer in DICOM JSON."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from radserve_server.bodies import media_type_of, read_body
from radserve_server.body_gate import keep_of_body
from radserve_server.errors import (
    ClientGone,
    InstanceRefused,
    InvalidRequest,
    NotAcceptable,
    RequestTimeout,
    TooLarge,
    UnsupportedMediaType,
)
from radserve_server.intake.configuration import LimitsTable
from radserve_server.intake.pushes import Push
from radserve_server.pacs.related import PartTooLarge, RelatedError, RelatedPart, RelatedReader

DICOM, DICOM_JSON, RELATED = "application/dicom", "application/dicom+json", "multipart/related"
_ACCEPTED = {DICOM_JSON, "application/json", "application/*", "*/*", ""}
_WANTED = f'{RELATED}; type="{DICOM}"'


def check_accept(request: Request) -> None:
    """The answer is DICOM JSON; raises NotAcceptable."""
    kinds = {kind.partition(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(",")}
    if not kinds & _ACCEPTED:
        raise NotAcceptable(f"the answer is given as {DICOM_JSON} only", param="Accept")


async def read_instances(request: Request, limits: LimitsTable, timeout_s: float) -> AsyncIterator[bytes]:
    """The DICOM files of the body, each as soon as it is there; raises GatewayError."""
    if media_type_of(request) == DICOM:
        yield await read_body(request, limits.instance_bytes, timeout_s)
        return
    reader = _open_reader(request, limits)
    try:
        async for part in _read_parts(request, reader, limits, timeout_s):
            if part.media_type not in (DICOM, ""):
                raise _unsupported(f"a part is {part.media_type[:100]}")
            yield part.data
        reader.finish()
    except PartTooLarge as error:
        raise TooLarge(f"the body cannot be taken: {error}", code="too_large", param="body") from None
    except RelatedError as error:
        message = f"the multipart body cannot be read: {error}"
        raise InvalidRequest(message, code="invalid_multipart", param="body") from None


def _open_reader(request: Request, limits: LimitsTable) -> RelatedReader:
    if media_type_of(request) != RELATED:
        raise _unsupported(f"Content-Type is {media_type_of(request)[:100] or 'missing'}")
    declared = request.headers["content-type"].lower().replace('"', "").replace(" ", "")
    kind = declared.partition("type=")[2].partition(";")[0]
    if kind not in (DICOM, ""):
        raise _unsupported(f"the parts are {kind[:100]}")
    try:
        return RelatedReader(request.headers["content-type"], limits.instance_bytes, limits.push_instances)
    except RelatedError as error:
        raise InvalidRequest(
            f"Content-Type: {error}", code="invalid_multipart", param="Content-Type"
        ) from None


async def _read_parts(
    request: Request, reader: RelatedReader, limits: LimitsTable, timeout_s: float
) -> AsyncIterator[RelatedPart]:
    """Each part has `timeout_s` to arrive in."""
    size = 0
    stream = request.stream()
    deadline = asyncio.get_running_loop().time() + timeout_s
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                piece = await anext(stream, None)
        except TimeoutError:
            raise RequestTimeout(f"no instance arrived within {timeout_s:g} s", param="body") from None
        except ClientDisconnect:
            raise ClientGone("the client closed the connection before its body was there") from None
        if piece is None:
            return
        size += len(piece)
        if size > limits.push_bytes:
            raise TooLarge(f"the body is over {limits.push_bytes:,} bytes; send it in pieces", param="body")
        for part in reader.feed(piece):
            yield part
            deadline = asyncio.get_running_loop().time() + timeout_s
        keep_of_body(request.scope, reader.held)


class StoreAnswer:
    """The Store Instances Response, PS3.18 10.5.3 and table I.2-1: what was kept and what was not, and why."""

    def __init__(self, push: Push, study: str | None) -> None:
        self._push = push
        self._study = study
        self._stored: list[dict[str, Any]] = []
        self._failed: list[dict[str, Any]] = []
        self._unknown: list[dict[str, Any]] = []
        self.reasons: list[str] = []

    async def take(self, data: bytes) -> None:
        """Hand one file over."""
        try:
            instance = await asyncio.to_thread(self._push.take, data, study=self._study)
        except InstanceRefused as error:
            self.reasons.append(error.message)
            reason = {"00081197": _element("US", error.status_code)}
            if error.instance is None:
                self._unknown.append(reason)
            else:
                self._failed.append({**_name(*error.instance), **reason})
            return
        self._stored.append(
            {**_name(instance.entry.sop_class or "", instance.address.instance), "00081190": {"vr": "UR"}}
        )

    @property
    def status(self) -> int:
        """200 where all were kept, 202 where some were, 409 where none was (table 10.5.3-1)."""
        if not self._failed and not self._unknown:
            return 200
        return 202 if self._stored else 409

    def to_json(self) -> dict[str, Any]:
        """A DICOM JSON data set (PS3.18 annex F)."""
        sequences = {"00081198": self._failed, "00081199": self._stored, "0008119A": self._unknown}
        told = {tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items() if items}
        return {"00081190": {"vr": "UR"}, **told}  # what is pushed here is not retrieved from here


def _name(sop_class: str, instance: str) -> dict[str, Any]:
    return {"00081150": _element("UI", sop_class), "00081155": _element("UI", instance)}


def _element(vr: str, value: object) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _unsupported(found: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(f"{found}; send {_WANTED}", param="Content-Type")

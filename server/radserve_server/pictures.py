"""Images as requests carry them: base64 in a data URI, a reference to an upload, or plain bytes."""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from radserve_imaging import ImagingError, sniff
from radserve_server.aside import run_aside
from radserve_server.conversation import ImageReference
from radserve_server.errors import ImageRefused, InvalidRequest, TooLarge
from radserve_server.image_store import SCHEME, ImageStore, identify
from radserve_server.payloads import Payload

DICOM = "application/dicom"
MEDIA_TYPES = (DICOM, "image/png", "image/jpeg")
UNDECLARED = ("", "application/octet-stream")
_HEAD = re.compile(r"data:(?P<media>[^;,]{0,100});base64,", re.IGNORECASE)
_SLICE = 2**18  # of base64, a multiple of 4: the loop breathes after each


@dataclass(frozen=True, slots=True)
class Picture:
    """An image's bytes, sniffed; `param` is the request's field it came in."""

    image_id: str
    media_type: str
    data: bytes
    param: str


async def open_picture(data: bytes, declared: str, param: str) -> Picture:
    """Check that bytes are what they are said to be; raises ImageRefused or InvalidRequest."""
    if declared not in (*MEDIA_TYPES, *UNDECLARED):
        known = ", ".join(MEDIA_TYPES)
        raise InvalidRequest(
            f"{declared[:100]} is not one of {known}", code="unsupported_media_type", param=param
        )
    try:
        found = sniff(data)
    except ImagingError as error:
        raise ImageRefused(str(error), code=error.code, param=param) from None
    if declared not in (found, *UNDECLARED):
        message = f"the bytes are {found}, but {declared} was declared"
        raise InvalidRequest(message, code="media_type_mismatch", param=param)
    return Picture(await identify(data), found, data, param)


async def fetch_picture(
    image: ImageReference, payloads: Mapping[str, Payload], owner: str, store: ImageStore, max_bytes: int
) -> Picture:
    """The image behind the URL of an image part; raises GatewayError naming the part."""
    url, param = image.url, image.param
    if url.startswith(SCHEME):
        stored = store.get(owner, url.removeprefix(SCHEME), param)
        return Picture(stored.image_id, stored.media_type, stored.data, param)
    if url[:8].lower().startswith(("http://", "https://")):
        message = "remote images are not fetched: send a data: URI, or upload the image with POST /v1/images"
        raise InvalidRequest(message, code="remote_image_refused", param=param)
    head = _HEAD.match(url)
    if head is None:
        message = f"an image's URL must be data:<media type>;base64,…, {SCHEME}<id> or radserve://series/<id>"
        raise InvalidRequest(message, code="invalid_image_url", param=param)
    payload = payloads.get(image.payload) or url[head.end() :].encode("utf-8", "surrogatepass")
    if len(payload) * 3 // 4 > max_bytes + 2:
        raise TooLarge(f"the image is over {max_bytes:,} bytes", code="too_large", param=param)
    data = await _decode_base64(payload, param)
    return await open_picture(data, head["media"].lower(), param)


async def _decode_base64(payload: Payload, param: str) -> bytes:
    """Strictly: no line breaks, no foreign characters, no missing padding."""
    if len(payload) % 4:
        raise _bad_base64(param)
    pieces = []
    try:
        for begin in range(0, len(payload), _SLICE):
            text = bytes(payload[begin : begin + _SLICE])
            if begin + _SLICE < len(payload) and text.endswith(b"="):
                raise _bad_base64(param)
            pieces.append(binascii.a2b_base64(text, strict_mode=True))
            if len(text) == _SLICE:
                await asyncio.sleep(0)
    except (binascii.Error, ValueError):
        raise _bad_base64(param) from None
    return pieces[0] if len(pieces) == 1 else await run_aside(len(payload), b"".join, pieces)


def _bad_base64(param: str) -> InvalidRequest:
    return InvalidRequest("the data: URI is not valid base64", code="invalid_base64", param=param)


def encode_base64(data: bytes) -> str:
    """As text."""
    return base64.b64encode(data).decode()

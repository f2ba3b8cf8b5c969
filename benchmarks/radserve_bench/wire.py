"""The least client that can read a stream: it costs a few µs an event, so that what is measured is the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlsplit


async def post(url: str, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The JSON of each server-sent event, as it arrives. Raises RuntimeError for any status but 200."""
    where = urlsplit(url)
    content = json.dumps(body).encode()
    head = (
        f"POST {where.path} HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\nconnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(head.encode() + content)
        status = (await reader.readline()).split()[1]
        while await reader.readline() != b"\r\n":
            pass
        if status != b"200":
            raise RuntimeError(f"HTTP {status.decode()}: {(await reader.read()).decode()}")
        async for line in _lines(reader):
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])
    finally:
        writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Lines of a chunked body (RFC 9112, 7.1)."""
    rest = b""
    while size := int(await reader.readline(), 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        *lines, rest = rest.split(b"\n")
        for line in lines:
            yield line

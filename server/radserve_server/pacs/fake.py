"""An archive with DICOMweb, in memory, as faulty as it is told to be: for tests of what asks one.

`python -m radserve_server.pacs.fake FILES… --port N` prints its DICOMweb address. `PUT /fault` with one of FAULTS as
body sets what is wrong with the instances that it gives, and with ` metadata`, ` series` or ` store` after it what is
wrong with those answers; `none` ends it. `GET /counts` says what was asked for and how many bytes were given.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from radserve_server.pacs.fake_store import FakeStore
from radserve_server.pacs.related import RelatedReader, make_boundary, write_related

FAULTS = (
    "none",
    "slow",
    "slow_body",
    "404",
    "401",
    "500",
    "reset",
    "half",
    "wrong_type",
    "wrong_instance",
    "garbage",
    "closed_once",
    "redirect",
)
KINDS = ("instance", "metadata", "series", "store")
_DICOM_JSON = "application/dicom+json"
_MOST = 2**30
_Answer = web.StreamResponse


class FakeArchive:
    """`authorization` is the header that it demands; `fault` and `faulty`, the kind of answer it is about, may change.

    `requests` and `bytes` count what was asked for and what was given, by kind, the bytes of instances without what
    wraps them; `hold` is how long a slow answer waits, in seconds; `most` caps a QIDO answer.
    """

    def __init__(self, files: Iterable[bytes] = (), authorization: str | None = None) -> None:
        self.store = FakeStore(files)
        self.authorization = authorization
        self.fault, self.faulty = "none", "instance"
        self.hold = 30.0
        self.most = 1000
        self.requests: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.origin = ""
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        """The DICOMweb root, once started."""
        return f"{self.origin}/dicom-web"

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Listen on loopback."""
        self._runner = web.AppRunner(self._build(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        host, taken = self._runner.addresses[0][:2]
        self.origin = f"{'http' if tls is None else 'https'}://{host}:{taken}"

    async def stop(self) -> None:
        """Stop listening, and break off what is under way."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def fail(self, told: str) -> None:
        """`told` is a fault, and the kind of answer it is about unless that is an instance."""
        fault, _, kind = told.strip().partition(" ")
        if fault not in FAULTS or (kind or "instance") not in KINDS:
            raise ValueError(f"a fault is one of {', '.join(FAULTS)}, then one of {', '.join(KINDS)}")
        self.fault, self.faulty = fault, kind or "instance"

    def _build(self) -> web.Application:
        app = web.Application(client_max_size=_MOST)
        study, series = "/dicom-web/studies/{study}", "/dicom-web/studies/{study}/series/{series}"
        app.add_routes(
            [
                web.put("/fault", self._set_fault),
                web.get("/counts", self._tell_counts),
                web.get("/dicom-web/studies", self._studies),
                web.get(f"{study}/series", self._series),
                web.get(f"{study}/instances", self._instances),
                web.get(f"{series}/instances", self._instances),
                web.get(f"{series}/metadata", self._metadata),
                web.get(f"{series}/instances/{{instance}}/metadata", self._metadata),
                web.get(f"{series}/instances/{{instance}}/frames/{{frames}}", self._frames),
                web.get(f"{series}/instances/{{instance}}", self._instance),
                web.post("/dicom-web/studies", self._store),
                web.post(study, self._store),
            ]
        )
        return app

    async def _set_fault(self, request: web.Request) -> _Answer:
        try:
            self.fail(await request.text())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        return web.Response(status=204)

    async def _tell_counts(self, _: web.Request) -> _Answer:
        return web.json_response({"requests": self.requests, "bytes": self.bytes})

    async def _studies(self, request: web.Request) -> _Answer:
        return await self._answer_search(request, "study", self.store.list_studies())

    async def _series(self, request: web.Request) -> _Answer:
        found = self.store.list_series(request.match_info["study"])
        return await self._answer_search(request, "series", found)

    async def _instances(self, request: web.Request) -> _Answer:
        found = self.store.list_instances(**request.match_info)
        wanted = request.query.get("SOPInstanceUID") or request.query.get("00080018")
        if wanted is not None:
            found = [item for item in found if item["00080018"]["Value"] == [wanted]]
        return await self._answer_search(request, "series", found)

    async def _metadata(self, request: web.Request) -> _Answer:
        found = self.store.list_instances(**request.match_info)
        if not found:
            raise web.HTTPNotFound
        return await self._answer_json(request, "metadata", found)

    async def _instance(self, request: web.Request) -> _Answer:
        data = self.store.get(**request.match_info)
        if data is None:
            raise web.HTTPNotFound
        if self._fault("instance") == "wrong_instance":
            data = self.store.another_than(data)
        return await self._answer_related(request, data)

    async def _frames(self, request: web.Request) -> _Answer:
        """One frame at a time."""
        frames = request.match_info["frames"]
        frame = self.store.get_frame(
            request.match_info["study"],
            request.match_info["series"],
            request.match_info["instance"],
            int(frames),
        )
        if frame is None:
            raise web.HTTPNotFound
        return await self._answer_related(request, frame, "application/octet-stream")

    async def _store(self, request: web.Request) -> _Answer:
        self._check_credentials(request)
        body = await request.read()
        self.requests["store"] += 1
        await self._misbehave(request, "store")
        reader = RelatedReader(request.headers["content-type"], _MOST, 10_000)
        parts = reader.feed(body)
        reader.finish()
        refuse = self._fault("store") == "garbage"
        told, status = self.store.take([part.data for part in parts], refuse=refuse)
        return web.json_response(told, status=status, content_type=_DICOM_JSON)

    async def _answer_search(self, request: web.Request, kind: str, found: list[Any]) -> _Answer:
        """By limit and offset, no more than `most`, with a warning that there is more (PS3.18 8.3.4.4)."""
        offset = int(request.query.get("offset", 0))
        page = found[offset : offset + min(self.most, int(request.query.get("limit", self.most)))]
        remaining = len(found) - offset - len(page)
        warning = f'299 {request.host}: "There are {remaining} additional results that can be requested"'
        return await self._answer_json(request, kind, page, {"warning": warning} if remaining > 0 else {})

    async def _answer_json(
        self, request: web.Request, kind: str, value: list[Any], headers: Mapping[str, str] | None = None
    ) -> _Answer:
        self._check_credentials(request)
        self.requests[kind] += 1
        await self._misbehave(request, kind)
        if not value:
            return web.Response(status=204)
        body = json.dumps(value).encode()
        if self._fault(kind) == "garbage":
            body = b'[{"00080018": 7}, 3]'
        return await self._send(request, kind, body, {"content-type": _DICOM_JSON, **(headers or {})})

    async def _answer_related(
        self, request: web.Request, data: bytes, media_type: str = "application/dicom"
    ) -> _Answer:
        self._check_credentials(request)
        self.requests["instance"] += 1
        await self._misbehave(request, "instance")
        if self._fault("instance") == "garbage":
            data = b"no DICOM at all" * 100
        boundary = make_boundary()
        body = write_related([data], boundary, media_type)
        kind = f'multipart/related; type="{media_type}"; boundary={boundary}'
        return await self._send(request, "instance", body, {"content-type": kind}, data)

    async def _send(
        self,
        request: web.Request,
        kind: str,
        body: bytes,
        headers: Mapping[str, str],
        content: bytes | None = None,
    ) -> _Answer:
        """All of it, or as much as the fault lets pass."""
        fault = self._fault(kind)
        if fault == "wrong_type":
            return web.Response(text="<html>Please log in</html>", content_type="text/html")
        half = body[: len(body) // 2]
        sent = half if fault in ("reset", "half", "slow_body") else body
        answer = web.StreamResponse(headers=headers)
        answer.content_length = len(half) if fault == "half" else len(body)
        if request.transport is None or request.transport.is_closing():
            return answer  # the one who asked has left
        await answer.prepare(request)
        await answer.write(sent)
        self.bytes[kind] += len(sent) if content is None or sent is half else len(content)
        if fault == "slow_body":
            await self._wait()
        if fault in ("reset", "slow_body"):
            _reset(request)
        else:
            await answer.write_eof()
        return answer

    def _check_credentials(self, request: web.Request) -> None:
        if self.authorization is not None and request.headers.get("authorization") != self.authorization:
            raise web.HTTPUnauthorized

    async def _wait(self) -> None:
        """As long as a slow archive does, or until the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self.hold)

    async def _misbehave(self, request: web.Request, kind: str) -> None:
        """The faults that come before any content."""
        fault = self._fault(kind)
        if fault == "slow":
            await self._wait()
        if fault in ("401", "404", "500"):
            kinds = {"401": web.HTTPUnauthorized, "404": web.HTTPNotFound, "500": web.HTTPInternalServerError}
            raise kinds[fault]
        if fault == "redirect":
            raise web.HTTPFound("http://127.0.0.1:9/elsewhere")
        if fault == "closed_once":
            self.fault = "none"
            _reset(request)

    def _fault(self, kind: str) -> str:
        return self.fault if kind == self.faulty else "none"


def _reset(request: web.Request) -> None:
    """Break the connection off as a machine does that goes down: a TCP reset."""
    if request.transport is None:
        return
    plain = request.transport.get_extra_info("socket")
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


@contextmanager
def running_fake_archive(
    archive: FakeArchive, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[FakeArchive]:
    """In a thread of its own, for the time of the block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(archive.start(port, tls), loop).result()
        yield archive
    finally:
        asyncio.run_coroutine_threadsafe(archive.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def main() -> None:
    """Serve files until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="radserve_server.pacs.fake", description="An archive for tests.")
    parser.add_argument("files", nargs="*", type=Path, help="DICOM files")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options = parser.parse_args()
    archive = FakeArchive(path.read_bytes() for path in options.files)
    with contextlib.suppress(KeyboardInterrupt), running_fake_archive(archive, options.port):
        print(archive.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()

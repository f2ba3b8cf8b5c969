"""Servers whose timing and faults are known: a bare one with a schedule, and the gateway before the fake engine."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from aiohttp import web

from radserve_server.app import create_app
from radserve_server.fake import FakeBackend
from radserve_server.serve import configure
from radserve_server.settings import Settings


@dataclass
class Schedule:
    """An OpenAI-compatible endpoint: its first text is due `first_s` after a question came, then one each `token_s`.

    Its n-th event is cut into two writes after n · `cut` bytes. Before the event with number `after` it does what
    `fault` says: "status" (answers with `status`), "error" (an event), "close" (of the connection), "end" (of the
    stream), "hang", "rubbish" (an event).
    """

    first_s: float = 0.08
    token_s: float = 0.01
    tokens: int = 8
    cut: int = 0
    fault: str = ""
    after: int = 0
    status: int = 503
    usage: bool = True
    refused: tuple[str, ...] = ()
    models: tuple[str, ...] = ("scheduled",)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    peers: set[Any] = field(default_factory=set)
    running: int = 0
    most: int = 0
    dropped: int = 0
    written: int = 0
    url: str = ""

    async def list_models(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.models]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        came = time.perf_counter()
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.peers.add(request.transport.get_extra_info("peername"))
        for name in self.refused:
            if name in body:
                return web.json_response({"error": {"message": f"Extra inputs: {name}"}}, status=400)
        if self.fault == "status":
            await asyncio.sleep(self.first_s)
            return web.json_response({"error": {"message": "as it was told to"}}, status=self.status)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._stream(request, body, came)
        except (asyncio.CancelledError, ConnectionResetError):
            self.dropped += 1
            raise
        finally:
            self.running -= 1

    async def _stream(self, request: web.Request, body: dict[str, Any], came: float) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        count = body.get("max_tokens", self.tokens)
        await self._write(response, choice({"role": "assistant", "content": ""}))
        for index in range(count):
            due = came + self.first_s + index * self.token_s
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            if self.fault and index == self.after:
                if self.fault == "error":
                    await self._write(response, {"error": {"message": "as it was told to", "code": 500}})
                elif self.fault == "rubbish":
                    await self._write(response, ["no event"])
                elif self.fault == "hang":
                    await asyncio.sleep(60)
                elif self.fault == "close":
                    request.transport.close()
                return response
            await self._write(response, choice({"content": f" word {index}"}))
        await self._write(response, choice({}, "length"))
        if self.usage:
            usage = {"prompt_tokens": 5, "completion_tokens": count}
            await self._write(response, {"choices": [], "usage": usage})
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _write(self, response: web.StreamResponse, event: Any) -> None:
        data = b": a comment\r\ndata: %s\r\n\r\n" % json.dumps(event).encode()
        self.written += 1
        at = self.cut * self.written % len(data)
        if at:
            await response.write(data[:at])
            await asyncio.sleep(0)
        await response.write(data[at:])


def choice(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], "usage": None}


@asynccontextmanager
async def scheduled(**given: Any) -> AsyncIterator[Schedule]:
    schedule = Schedule(**given)
    app = web.Application(client_max_size=2**26)
    app.router.add_get("/v1/models", schedule.list_models)
    app.router.add_post("/v1/chat/completions", schedule.complete)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    schedule.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield schedule
    finally:
        await runner.cleanup()


@pytest.fixture(scope="session")
def schedule() -> Callable[..., Any]:
    """`async with schedule(tokens=…) as server`: see Schedule."""
    return scheduled


@dataclass
class Gateway:
    """A gateway behind a real socket, its fake engine, the requests that came (method and path), and how many of
    each were under way at once.
    """

    url: str
    backend: FakeBackend
    requests: list[str]
    most: Counter[str]


@contextmanager
def gateway_before(backend: FakeBackend, **settings: Any) -> Iterator[Gateway]:
    given = Settings(**{"render_workers": 2, "port": 0, "probe_interval_s": 0.05, **settings})
    app, requests = create_app(given, backend), []
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        name = f"{scope.get('method')} {scope.get('path')}"
        if scope["type"] == "http":
            requests.append(name)
        running[name] += 1
        most[name] = max(most[name], running[name])
        try:
            await app(scope, receive, send)
        finally:
            running[name] -= 1

    server = uvicorn.Server(configure(given, counted))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not (server.started and app.state.services.watch.ready):
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Gateway(f"http://127.0.0.1:{port}", backend, requests, most)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def start_gateway() -> Callable[..., AbstractContextManager[Gateway]]:
    """`with start_gateway(FakeBackend(first_delay_s=0.08), max_running=4) as gateway`: settings as of radserve up."""
    return gateway_before


@contextmanager
def running_command(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "radserve_bench.fake_gateway", "--port", "0", "--log-level", "warning"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        line = next(line for line in iter(process.stdout.readline, "") if "http://" in line)
        try:
            yield line[line.index("http://") :].split()[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@pytest.fixture(scope="session")
def fake_gateway() -> Callable[..., AbstractContextManager[str]]:
    """A gateway before the fake engine in a process of its own, by its command's options: its address."""
    return running_command

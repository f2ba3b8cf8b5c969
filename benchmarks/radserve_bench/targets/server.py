"""A radserve server, asked as its viewers ask: images are uploaded with the first question, later ones name them."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from radserve_bench.errors import BenchError, Refused, RequestFailed, TimedOut
from radserve_bench.record import Description
from radserve_bench.targets.endpoint import JSON, Endpoint, StatusFailed
from radserve_bench.targets.keys import KEY_VARIABLE, REFUSING, key_failure
from radserve_bench.targets.locality import listeners
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.split import Split, add, read_timings, read_upload, within
from radserve_bench.visit import ImageFile, Visit

_LANES = 4
_DETAILS = ("target", "precision", "gate", "intended_use", "context_length", "policy_sha256")


class ServerTarget:
    """`pids` are its processes, by default those that listen at a loopback address and what they started.

    An answer may take `timeout_s`, its uploads included.
    """

    def __init__(
        self,
        name: str,
        url: str,
        api_key: str | None = None,
        pids: Sequence[int] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._name = name
        self._pids = pids
        self.endpoint = Endpoint(url, api_key)
        self.timeout_s = timeout_s
        self.model = ""

    @property
    def name(self) -> str:
        """Heads its column."""
        return self._name

    async def open(self) -> Description:
        """Asks for the model and the version. Raises BenchError."""
        try:
            rows = (await self.endpoint.get("/v1/models"))["data"]
            version = (await self.endpoint.get("/v1/version"))["version"]
            if not rows:
                raise BenchError(f"the server at {self.endpoint.url} has no engine yet")
            model, clinical = str(rows[0]["id"]), dict(rows[0]["clinical"])
        except StatusFailed as error:
            if error.status in REFUSING:
                raise key_failure(self.endpoint.url, error, KEY_VARIABLE) from error
            raise BenchError(f"{self.endpoint.url}: {error}") from error
        except Refused as error:
            raise BenchError(f"{self.endpoint.url} is not ready: {error}") from error
        except RequestFailed as error:
            raise BenchError(str(error)) from error
        except (LookupError, TypeError) as error:
            raise BenchError(
                f"{self.endpoint.url} is no radserve server; other endpoints end in /v1"
            ) from error
        self.model = model
        if self._pids is None:
            self._pids = await asyncio.to_thread(listeners, self.endpoint.url)
        details = {name: clinical[name] for name in _DETAILS if clinical.get(name) is not None}
        details = {**details, "version": version, "url": self.endpoint.url}
        return Description(self.name, "radserve", model, clinical.get("digest"), details)

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Nothing: its clients have the files as they are."""

    def begin(self, visit: Visit) -> "ServerSitting":
        """Nothing is sent yet."""
        return ServerSitting(self, visit)

    def processes(self) -> Sequence[int] | None:
        """As they were given, or those that listen there."""
        return self._pids

    async def close(self) -> None:
        """Close the connections."""
        await self.endpoint.close()


class ServerSitting:
    """One visit; `_urls` name its images once they are uploaded."""

    def __init__(self, target: ServerTarget, visit: Visit) -> None:
        self._target = target
        self._visit = visit
        self._urls: list[str] | None = None if visit.files else []

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """The clock starts before the first upload's first byte. Raises RequestFailed."""
        sent = time.perf_counter()
        try:
            async with asyncio.timeout(self._target.timeout_s):
                return await self._ask(question, tokens, sent)
        except TimeoutError as error:
            raise TimedOut(f"no whole answer within {self._target.timeout_s:g} s") from error

    async def _ask(self, question: str, tokens: int | None, sent: float) -> Reply:
        before: Split = {}
        if self._urls is None:
            self._urls, before = await self._send_files()
        body = chat_body(self._target.model, self._urls, question, tokens)
        answer = await self._target.endpoint.stream("/v1/chat/completions", (json.dumps(body).encode(),))
        reply = answer.reply(sent)
        split = add(before, read_timings(answer.clinical.get("timings")))
        reply.split = within(split, 1000 * (reply.end - sent))
        return reply

    async def _send_files(self) -> tuple[list[str], Split]:
        """Upload all, and sort them if they are a stack. Of lanes side by side, the last to end has the times."""
        files = self._visit.files
        ids, queue = [""] * len(files), iter(enumerate(files))
        if len(files) == 1:
            lanes = [await self._upload(queue, ids)]
        else:
            try:
                async with asyncio.TaskGroup() as group:
                    count = min(_LANES, len(files))
                    tasks = [group.create_task(self._upload(queue, ids)) for _ in range(count)]
            except* BenchError as failures:
                raise failures.exceptions[0] from None
            lanes = [task.result() for task in tasks]
        _, split = max(lanes, key=lambda lane: lane[0])
        if self._visit.stack:
            return await self._sort(ids, split)
        return [f"radserve://images/{image}" for image in ids], split

    async def _upload(self, queue: Iterator[tuple[int, ImageFile]], ids: list[str]) -> tuple[float, Split]:
        """One file after another, as long as there are any; when it ended, and where its time went."""
        split: Split = {}
        ended = time.perf_counter()
        for index, file in queue:
            began = time.perf_counter()
            answer = await self._target.endpoint.post("/v1/images", file.parts, file.media_type)
            ended = time.perf_counter()
            ids[index] = str(answer["image_id"])
            split = add(split, read_upload(answer.get("timings"), 1000 * (ended - began)))
        return ended, split

    async def _sort(self, ids: Sequence[str], split: Split) -> tuple[list[str], Split]:
        """The time that it takes counts as fetching."""
        began = time.perf_counter()
        body = json.dumps({"image_ids": ids}).encode()
        found = await self._target.endpoint.post("/v1/series", (body,), JSON)
        took_ms = 1000 * (time.perf_counter() - began)
        return [f"radserve://series/{found['data'][0]['series_id']}"], add(split, {"fetch": took_ms})


def chat_body(model: str, urls: Sequence[str], question: str, tokens: int | None) -> dict[str, Any]:
    """A streamed question; with `tokens` its answer has exactly that many."""
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": [*images, {"type": "text", "text": question}]}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return body if tokens is None else {**body, "max_tokens": tokens, "ignore_eos": True}

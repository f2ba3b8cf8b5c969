"""Triton asked directly: the pixels that the gateway would make, without the gateway."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

import numpy as np
from numpy.typing import NDArray

from radserve_bench.errors import BenchError, Broken, Refused, RequestFailed, TimedOut
from radserve_bench.record import Description
from radserve_bench.targets.locality import listeners
from radserve_bench.targets.prepared import Prepared, model_sees
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.split import read_timings, within
from radserve_bench.visit import Visit
from radserve_imaging import ImagePolicy, ImagingError
from radserve_server.backend import Delta, Question
from radserve_server.errors import EngineUnavailable, GatewayError, Overloaded
from radserve_server.triton import TritonBackend

Pixels = tuple[NDArray[np.uint8], ...]
_DETAILS = ("target", "precision", "context_length")


class TritonTarget:
    """`grpc_url` is host:port. Images are rendered before the clock starts, by `policy` or else the engine's own.

    `pids` and `timeout_s` are as in ServerTarget.
    """

    def __init__(
        self,
        name: str,
        grpc_url: str,
        policy: ImagePolicy | None = None,
        pids: Sequence[int] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._name = name
        self._url = grpc_url
        self._policy = policy
        self._pids = pids
        self._prepared: Prepared[Pixels] = Prepared()
        self.backend = TritonBackend(grpc_url)
        self.timeout_s = timeout_s

    @property
    def name(self) -> str:
        """Heads its column."""
        return self._name

    async def open(self) -> Description:
        """Asks the engine what it is. Raises BenchError."""
        try:
            async with asyncio.timeout(10.0):
                engine = await self.backend.describe()
            if self._policy is None:
                self._policy = ImagePolicy.from_json(engine.manifest["image_policy"])
        except (GatewayError, TimeoutError) as error:
            raise BenchError(f"no engine answers at triton://{self._url}: {error or '10 s'}") from error
        except (ImagingError, LookupError) as error:
            raise BenchError(f"the engine at triton://{self._url} has no image policy: {error}") from error
        if self._pids is None:
            self._pids = await asyncio.to_thread(listeners, self._url)
        manifest = engine.manifest
        details = {name: manifest[name] for name in _DETAILS if manifest.get(name) is not None}
        gate = manifest.get("gate") or {}
        details |= {"gate": gate.get("status"), "policy_sha256": self._policy.digest()}
        details["url"] = f"triton://{self._url}"
        return Description(self.name, "triton", engine.name, engine.digest, details)

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Render. Raises BenchError for a file that cannot be."""
        policy = self._policy or ImagePolicy()
        await self._prepared.make(visits, lambda visit: model_sees(visit, policy))

    def begin(self, visit: Visit) -> "TritonSitting":
        """Nothing is sent yet."""
        return TritonSitting(self, self._prepared.of(visit))

    def processes(self) -> Sequence[int] | None:
        """As they were given, or those that listen there."""
        return self._pids

    async def close(self) -> None:
        """Close the channel."""
        await self.backend.close()


class TritonSitting:
    """One visit; its pixels go with every question, as the gateway sends them."""

    def __init__(self, target: TritonTarget, pixels: Pixels) -> None:
        self._target = target
        self._pixels = pixels

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """Ask over one gRPC stream. Raises RequestFailed."""
        parts = [*({"type": "image"} for _ in self._pixels), {"type": "text", "text": question}]
        sampling = {} if tokens is None else {"max_tokens": tokens, "ignore_eos": True}
        asked = Question(({"role": "user", "content": parts},), self._pixels, sampling)
        events: list[float] = []
        sent = time.perf_counter()
        try:
            async with asyncio.timeout(self._target.timeout_s):
                end, last = await self._read(asked, events)
        except TimeoutError as error:
            raise TimedOut(f"no whole answer within {self._target.timeout_s:g} s") from error
        except GatewayError as error:
            raise _failure(error, bool(events)) from error
        timings = last.timings or {}
        reply = Reply(sent, events[0] if events else end, end, events)
        reply.prompt_tokens = int(timings.get("prompt_tokens", 0))
        reply.tokens = int(timings.get("completion_tokens", 0))
        reply.split = within(read_timings(timings), 1000 * (end - sent))
        return reply

    async def _read(self, asked: Question, events: list[float]) -> tuple[float, Delta]:
        last: Delta | None = None
        end = 0.0
        async with aclosing(self._target.backend.stream(asked)) as deltas:
            async for last in deltas:
                end = time.perf_counter()
                if last.text:
                    events.append(end)
        if last is None or last.finish_reason in ("", "cancelled"):
            raise EngineUnavailable("the engine's answer ended before it was finished")
        return end, last


def _failure(error: GatewayError, begun: bool) -> RequestFailed:
    if begun:
        return Broken(error.message)
    kind = Refused if isinstance(error, Overloaded | EngineUnavailable) else RequestFailed
    return kind(error.message)

"""One question on its way: a place among the others, its images, the engine's stream, and the end of it."""

import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from radserve_server.admission import Place
from radserve_server.answer_store import KeptAnswer, Seen, make_answer_id
from radserve_server.audit_events import identify_answer, identify_cut
from radserve_server.backend import Delta, Question
from radserve_server.conversation import spread_images
from radserve_server.delta_pump import Batch, DeltaPump
from radserve_server.disconnect import gather_or_cancel
from radserve_server.engine_watch import Engine
from radserve_server.errors import EngineUnavailable, InvalidRequest
from radserve_server.image_times import last_to_end
from radserve_server.provenance import describe_answer
from radserve_server.rendering import Rendition, Source, list_all_seen
from radserve_server.services import Services


@dataclass(frozen=True, slots=True)
class Asked:
    """What a route read from its request.

    On time.perf_counter, the request's headers were there when it `started`, its whole body when it `arrived`.
    `caller` is the name of the key.
    """

    engine: Engine
    messages: tuple[dict[str, Any], ...]
    sources: tuple[Source, ...]
    sampling: dict[str, Any]
    started: float
    arrived: float
    caller: str

    @property
    def question(self) -> str:
        """The text of the last message."""
        content = self.messages[-1]["content"]
        if isinstance(content, str):
            return content
        return "\n".join(part["text"] for part in content if part["type"] == "text")

    def archive(self) -> dict[str, int] | None:
        """What came out of archives for this question; None if it names none."""
        tallies = [source.tally for source in self.sources if source.tally is not None]
        needed = {address for source in self.sources for address in source.addresses}
        return tallies[0].to_json(needed) if tallies else None


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known when an answer is complete: how it ended, token counts, `clinical`, the answer as kept."""

    finish_reason: str
    usage: dict[str, int]
    clinical: dict[str, Any]
    answer: KeptAnswer


def check_image_count(engine: Engine, count: int, param: str) -> None:
    """Refuse more images than the engine's policy allows."""
    most = engine.policy.max_images
    if count > most:
        message = f"{count} images were sent; {engine.name} takes {most} at most"
        raise InvalidRequest(message, code="too_many_images", param=param)


class RunningAnswer:
    """Make one with `begin`, read `batches`, then `ending`; `close` it in every case."""

    def __init__(self, services: Services, asked: Asked, place: Place) -> None:
        self._services = services
        self._asked = asked
        self._place = place
        self._pump: DeltaPump | None = None
        self._first: Batch = ()
        self._text: list[str] = []
        self._times: dict[str, float] = {}
        self._records: list[dict[str, Any]] = []
        self._seen: tuple[Seen, ...] = ()
        self._ending: Ending | None = None

    @classmethod
    async def begin(cls, services: Services, asked: Asked) -> "RunningAnswer":
        """Wait for a place, render, ask, wait for the first delta: until then, errors have a true status."""
        fetched = time.perf_counter()
        answer = cls(services, asked, await services.admission.enter())
        answer._note_arrival(fetched)
        try:
            rendered = await answer._render()
            images = tuple(image.pixels for several in rendered for image in several.images)
            messages = spread_images(asked.messages, [len(several.images) for several in rendered])
            question = Question(messages, images, asked.sampling)
            stream = services.backend.stream(question)
            answer._pump = DeltaPump(stream, services.settings.engine_silence_s, answer._place.release)
            answer._first = await answer._take()
        except BaseException:
            await answer.close()
            raise
        answer._note_first()
        return answer

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """The deltas, all that wait at once; ends after the one with a finish_reason. Raises GatewayError."""
        batch = self._first
        seen = time.perf_counter()
        self._note_text(batch)
        while not batch[-1].finish_reason:
            yield batch
            batch = await self._take()
            self._note_text(batch)
            now = time.perf_counter()
            self._services.metrics.inter_token_seconds.observe((now - seen) / len(batch))
            seen = now
        self._ending = self._finish(batch[-1])
        yield batch

    @property
    def ending(self) -> Ending:
        """There once `batches` has ended."""
        if self._ending is None:
            raise EngineUnavailable("the answer is not complete")
        return self._ending

    async def close(self) -> None:
        """Cancel what still runs."""
        if self._pump is not None:
            await self._pump.stop()
        self._place.release()
        if self._first and self._ending is None:
            told = identify_cut(self._asked.engine, self._asked.question, self._seen)
            self._services.audit.note("answer_cut", self._asked.caller, **told)
            self._first = ()

    async def _render(self) -> list[Rendition]:
        began = time.perf_counter()
        engine, renderer = self._asked.engine, self._services.renderer
        rendered = await gather_or_cancel(
            *(renderer.render(source, engine.policy, engine.policy_digest) for source in self._asked.sources)
        )
        self._records = [image.record for several in rendered for image in several.images]
        self._seen = list_all_seen(self._asked.sources, [several.images for several in rendered])
        check_image_count(engine, len(self._records), "slices")
        fetched_ms = 1000 * max((several.times.fetch for several in rendered), default=0.0)
        self._times["fetch_ms"] += fetched_ms
        if self._asked.sources:
            self._services.metrics.fetch_seconds.observe(self._times["fetch_ms"] / 1000)
        self._times["decode_render_ms"] = _ms_since(began) - fetched_ms
        self._times |= last_to_end(several.times for several in rendered).to_ms()
        return rendered

    async def _take(self) -> Batch:
        """The next deltas; an engine that fails is not ready until it answers the watch again."""
        if self._pump is None:
            raise EngineUnavailable("the question was not asked yet")
        try:
            batch = await self._pump.take()
            if batch[-1].finish_reason == "cancelled":
                raise EngineUnavailable("the engine cancelled the answer", code="engine_cancelled")
        except EngineUnavailable as error:
            if error.code == EngineUnavailable.default_code:
                self._services.watch.fail(error.message)
            raise
        return batch

    def _note_arrival(self, fetched: float) -> None:
        """What happened before, and the wait for a place, which ends now."""
        asked, metrics = self._asked, self._services.metrics
        body_s, fetch_s = asked.arrived - asked.started, fetched - asked.arrived
        metrics.body_seconds.observe(body_s)
        self._times = {"body_ms": 1000 * body_s, "fetch_ms": 1000 * fetch_s}
        self._times["admission_ms"] = _ms_since(fetched)

    def _note_first(self) -> None:
        self._times["ttft_ms"] = _ms_since(self._asked.started)
        self._times["ttft_without_fetch_ms"] = self._times["ttft_ms"] - self._times["fetch_ms"]
        self._services.metrics.first_token_seconds.observe(self._times["ttft_ms"] / 1000)

    def _finish(self, last: Delta) -> Ending:
        self._times["total_ms"] = _ms_since(self._asked.started)
        timings = {**(last.timings or {}), **self._times}
        prompt, completion = int(timings.get("prompt_tokens", 0)), int(timings.get("completion_tokens", 0))
        metrics = self._services.metrics
        metrics.prompt_tokens.inc(prompt)
        metrics.generation_tokens.inc(completion)
        metrics.queue_seconds.observe((timings["admission_ms"] + timings.get("queue_ms", 0)) / 1000)
        metrics.e2e_seconds.observe(timings["total_ms"] / 1000)
        metrics.success.labels(last.finish_reason).inc()
        metrics.note_confidence(last.confidence or {})
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        clinical = describe_answer(self._asked.engine, self._records, last, timings)
        answer = self._keep(last.finish_reason, clinical)
        return Ending(last.finish_reason, usage, clinical, answer)

    def _keep(self, finish_reason: str, clinical: dict[str, Any]) -> KeptAnswer:
        """Reports and feedback will name the answer by its id, which `clinical` gets."""
        asked, seen = self._asked, self._seen
        clinical |= {
            "answer_id": make_answer_id(),
            "seen": [one.to_json() for one in seen],
            "archive": asked.archive(),
        }
        answer = KeptAnswer(
            clinical["answer_id"],
            asked.question,
            "".join(self._text),
            asked.engine.name,
            finish_reason,
            clinical,
            seen,
            datetime.now(UTC),
        )
        self._services.answers.put(asked.caller, answer)
        self._services.audit.note("answer", asked.caller, **identify_answer(answer))
        return answer

    def _note_text(self, batch: Batch) -> None:
        self._text += [delta.text for delta in batch]


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1000

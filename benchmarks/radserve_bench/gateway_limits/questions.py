"""How many questions a second one core carries, and what each costs, by what the study is made of.

A question is what a viewer sends: its images uploaded anew, then the question, streamed, with an answer of a few
tokens. Three askers keep the core busy. A further question about an image that was sent already is a row of its own.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from radserve_bench.errors import BenchError
from radserve_bench.gateway_limits.cpu import CpuClock, CpuTimes
from radserve_bench.gateway_limits.kinds import StudyKind
from radserve_bench.gateway_limits.pace import Pace
from radserve_bench.gateway_limits.spread import Spread
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.server import ServerSitting, ServerTarget

ANSWER_TOKENS = 4
FURTHER = "further"
ASKERS = 3
_QUESTION = "And what should be done next?"

Ask = Callable[[ServerTarget], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One kind, of `megabytes` a study, before so many gateways.

    CPU milliseconds of a question, of which `http_ms` in the gateway's own process and the rest in decoding workers;
    `decode_ms` is the codec's time as the gateway tells it. Cores are CPU seconds a second, of all gateways and of the
    load generator.
    """

    key: str
    name: str
    megabytes: float
    gateways: int
    questions: int
    questions_per_s: Spread
    cpu_ms: Spread
    http_ms: float
    decode_ms: float
    cores: float
    generator_cores: float


class Asking:
    """One or more gateways under questions of one kind; `clock` reads all of them."""

    def __init__(self, targets: Sequence[ServerTarget], clock: CpuClock, pace: Pace) -> None:
        self._targets = targets
        self._clock = clock
        self._pace = pace
        self._numbers = count(1)

    async def first_questions(self, kind: StudyKind) -> QuestionRow:
        """Studies of a kind, one question each."""
        size = sum(file.size for file in kind.files(0)) / 1e6
        return await self._measure(kind.key, kind.name, size, partial(self._open_and_ask, kind))

    async def further_questions(self, kind: StudyKind) -> QuestionRow:
        """More questions about a study that was sent before."""
        visit = kind.visit(next(self._numbers))
        sittings = {target.name: target.begin(visit) for target in self._targets}
        for sitting in sittings.values():
            await sitting.ask(visit.questions[0], ANSWER_TOKENS)
        return await self._measure(FURTHER, "further question, image known", 0.0, partial(_ask_on, sittings))

    async def _open_and_ask(self, kind: StudyKind, target: ServerTarget) -> Reply:
        visit = kind.visit(next(self._numbers))
        return await target.begin(visit).ask(visit.questions[0], ANSWER_TOKENS)

    async def _measure(self, key: str, name: str, megabytes: float, ask: Ask) -> QuestionRow:
        began = time.perf_counter()
        for target in self._targets:
            await ask(target)
        each = (time.perf_counter() - began) / len(self._targets)
        pace = self._pace
        planned = min(max(pace.least, round(pace.round_s / each)), pace.most) * len(self._targets)
        rounds = [await self._round(planned, ask) for _ in range(pace.rounds)]
        replies = [reply for _, answered in rounds for reply in answered]
        spans = [span for span, _ in rounds]
        wall = sum(span.at for span in spans)
        return QuestionRow(
            key=key,
            name=name,
            megabytes=round(megabytes, 2),
            gateways=len(self._targets),
            questions=len(replies),
            questions_per_s=Spread.of([planned / span.at for span in spans]),
            cpu_ms=Spread.of([1000 * span.both / planned for span in spans]),
            http_ms=round(1000 * sum(span.gateway for span in spans) / len(replies), 2),
            decode_ms=round(statistics.fmean(reply.split.get("image", 0.0) for reply in replies), 2),
            cores=round(sum(span.both for span in spans) / wall, 3),
            generator_cores=round(sum(span.generator for span in spans) / wall, 3),
        )

    async def _round(self, planned: int, ask: Ask) -> tuple[CpuTimes, list[Reply]]:
        left = iter(range(planned))
        before = self._clock.read()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_keep_asking(target, left, ask))
                for target in self._targets
                for _ in range(ASKERS)
            ]
        span = self._clock.read() - before
        replies = [reply for task in tasks for reply in task.result()]
        if len(replies) != planned:
            raise BenchError(f"{len(replies)} of {planned} questions were answered")
        return span, replies


async def _ask_on(sittings: Mapping[str, ServerSitting], target: ServerTarget) -> Reply:
    return await sittings[target.name].ask(_QUESTION, ANSWER_TOKENS)


async def _keep_asking(target: ServerTarget, left: Iterator[int], ask: Ask) -> list[Reply]:
    return [await ask(target) for _ in left]

"""One visit from its first question to its last, and the record of each."""

import asyncio
import time
from dataclasses import dataclass

from radserve_bench.errors import RequestFailed, TimedOut
from radserve_bench.record import Point, Record
from radserve_bench.targets.protocol import Reply, Target
from radserve_bench.visit import Visit


@dataclass(frozen=True, slots=True)
class Terms:
    """How questions are asked: length of an answer (None: the model's own end), longest time for one, in seconds."""

    tokens: int | None = 32
    timeout_s: float = 120.0


class Asker:
    """Asks for one point; its records' times count from `start`, on `time.perf_counter`."""

    def __init__(self, target: Target, point: Point, terms: Terms, start: float) -> None:
        self._target = target
        self._point = point
        self._terms = terms
        self._start = start

    def now(self) -> float:
        """Seconds since the point began."""
        return time.perf_counter() - self._start

    async def attend(self, number: int, visit: Visit, due: float | None = None) -> None:
        """Ask all questions of a visit. `due` is when it was to begin, if that was not up to its asker.

        A later question is due when the one before is answered; after a failure the visit ends, and its questions
        that were never asked count as failed too: nobody got their answers.
        """
        sitting = self._target.begin(visit)
        failed: Record | None = None
        for index, question in enumerate(visit.questions):
            began = self.now()
            when = began if due is None or index else due
            record = Record(visit.kind, visit.stat, number, index, when, began, asked=self._terms.tokens)
            if failed is None:
                try:
                    async with asyncio.timeout(self._terms.timeout_s):
                        self._fill(record, await sitting.ask(question, self._terms.tokens))
                except (RequestFailed, TimeoutError) as error:
                    self._note(record, error)
                    failed = record
            else:
                record.end = began
                record.error, record.message = failed.error, "not asked: the question before failed"
            self._point.records.append(record)

    def _fill(self, record: Record, reply: Reply) -> None:
        start = self._start
        record.sent, record.first, record.end = reply.sent - start, reply.first - start, reply.end - start
        record.events = [event - start for event in reply.events]
        record.prompt_tokens, record.tokens, record.split = reply.prompt_tokens, reply.tokens, reply.split

    def _note(self, record: Record, error: RequestFailed | TimeoutError) -> None:
        record.end = self.now()
        if isinstance(error, RequestFailed):
            record.error, record.message = error.kind, str(error)
        else:
            record.error = TimedOut.kind
            record.message = f"no whole answer within {self._terms.timeout_s:g} s"

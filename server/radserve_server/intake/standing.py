"""Standing questions: asked of a pushed study once it is complete, one at a time, when the gateway has nothing else."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from radserve_server.admission import Admission
from radserve_server.answer_store import KeptAnswer
from radserve_server.disconnect import cancel
from radserve_server.errors import ArchiveTimeout, EngineUnavailable, GatewayError, Overloaded
from radserve_server.intake.configuration import StandingTable
from radserve_server.intake.rules import Rule
from radserve_server.intake.spool import Spool
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import INTAKE
from radserve_server.schemas import DicomReference

_LOG = logging.getLogger(__name__)
_BUSY_POLL_S = 0.1
_PASSING = (EngineUnavailable, Overloaded, ArchiveTimeout)


class Ask(Protocol):
    """Asks on the server's own account."""

    def __call__(
        self, references: Sequence[DicomReference], question: str, *, model: str | None, system: str | None
    ) -> Awaitable[KeptAnswer]:
        """The whole answer, kept where every caller may read it; raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question to be asked, not before `due` (time.monotonic); `since` is when it was first due."""

    study: str
    series: str
    rule: Rule
    question: str
    due: float
    since: float


class StandingQuestions:
    """Notes come from any thread; all else happens on the event loop."""

    def __init__(
        self,
        rules: Iterable[Rule],
        table: StandingTable,
        spool: Spool,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self._rules = sorted(rules, key=lambda rule: -rule.table.priority)
        self._table = table
        self._spool = spool
        self._admission = admission
        self._metrics = metrics
        self._settling: dict[str, float] = {}
        self._tasks: list[Task] = []
        self._asked_now: Task | None = None
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Future[None] | None = None

    def start(self, ask: Ask) -> None:
        """Begin to ask."""
        self._loop = asyncio.get_running_loop()
        self._running = asyncio.ensure_future(self._run(ask))

    async def stop(self) -> None:
        """Stop asking."""
        if self._running is not None:
            await cancel(self._running)

    def count_waiting(self, study: str | None = None) -> int:
        """Questions without an answer yet, of one study or all; a study that has not settled counts as one."""
        unanswered = [*self._tasks, *([] if self._asked_now is None else [self._asked_now])]
        tasks = sum(study in (None, task.study) for task in unanswered)
        return tasks + sum(study in (None, settling) for settling in self._settling)

    def note_growth(self, study: str) -> None:
        """Something came: the study has to be quiet for `settle_s` from now."""
        self._note([study], self._table.settle_s)

    def note_release(self, studies: Iterable[str]) -> None:
        """Whoever sent them has hung up."""
        if self._table.ask_on_release:
            self._note(list(studies), 0.0)

    def _note(self, studies: Sequence[str], wait_s: float) -> None:
        if self._rules and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, studies, time.monotonic() + wait_s)

    def _settle(self, studies: Sequence[str], due: float) -> None:
        self._settling.update(dict.fromkeys(studies, due))
        self._wake.set()

    async def _run(self, ask: Ask) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            self._line_up(now)
            task = next((task for task in self._tasks if task.due <= now), None)
            if task is not None and not self._is_busy():
                self._tasks.remove(task)
                self._asked_now = task
                await self._ask(task, ask)
                self._asked_now = None
                continue
            await self._wait_until(now + _BUSY_POLL_S if task is not None else self._next_moment())

    def _line_up(self, now: float) -> None:
        """Make tasks of the studies that have been quiet for long enough, in the place of older ones."""
        for study in [study for study, due in self._settling.items() if due <= now]:
            del self._settling[study]
            state = self._spool.state(study)
            self._tasks = [task for task in self._tasks if task.study != study]
            for rule in self._rules if state is not None else ():
                series = rule.choose_series(state.instances if state is not None else ())
                if series is not None:
                    self._tasks += [
                        Task(study, series, rule, text, now, now) for text in rule.table.questions
                    ]
        self._tasks.sort(key=lambda task: -task.rule.table.priority)

    def _is_busy(self) -> bool:
        return self._admission.waiting > 0 or self._admission.running >= self._table.busy_at

    def _next_moment(self) -> float | None:
        return min([*self._settling.values(), *(task.due for task in self._tasks)], default=None)

    async def _wait_until(self, moment: float | None) -> None:
        try:
            async with asyncio.timeout(None if moment is None else max(0.0, moment - time.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _ask(self, task: Task, ask: Ask) -> None:
        """A question that fails in passing is put back; any other failure is the end of it."""
        table = task.rule.table
        reference = DicomReference.model_validate(
            {"study": task.study, "series": task.series, "pacs": INTAKE}
        )
        try:
            await ask([reference], task.question, model=table.model, system=table.prompt)
        except _PASSING as error:
            now = time.monotonic()
            if now - task.since < self._table.give_up_s:
                self._tasks.append(replace(task, due=now + self._table.retry_s))
                return
            self._give_up(task, error.code)
        except GatewayError as error:
            self._give_up(task, error.code)
        except Exception:  # the task's edge: one question must not end all others
            _LOG.exception("a standing question of rule %s failed", table.name)
            self._give_up(task, "internal_error")
        else:
            self._metrics.standing_questions.labels("answered").inc()

    def _give_up(self, task: Task, code: str) -> None:
        _LOG.warning("a standing question of rule %s was given up: %s", task.rule.table.name, code)
        self._metrics.standing_questions.labels("given_up").inc()

"""This server as a performer: claims the items that are for it, one at a time, answers them, files the answers."""

import asyncio
import logging
import time
from contextlib import suppress

from pydicom import Dataset
from pydicom.uid import generate_uid

from radserve_server.disconnect import cancel
from radserve_server.errors import (
    ArchiveError,
    Conflict,
    EngineUnavailable,
    GatewayError,
    InvalidRequest,
    NotFound,
    WorklistUnavailable,
)
from radserve_server.services import Services
from radserve_server.worklist.codes import (
    EQUIPMENT_FAILURE,
    EXPIRED,
    INCOMPLETE_OBJECTS,
    REJECTED,
    UNSPECIFIED,
)
from radserve_server.worklist.performance import perform
from radserve_server.worklist.queue import list_expired, next_item
from radserve_server.worklist.results import describe_reason
from radserve_server.worklist.workitem import State, Workitem
from radserve_server.worklist.worklist import RunningWork

_LOG = logging.getLogger(__name__)
_LOOK_S = 5.0
_SWEEP_S = 300.0
_REASONS = (
    (NotFound, INCOMPLETE_OBJECTS),
    (InvalidRequest, REJECTED),
    ((ArchiveError, EngineUnavailable), EQUIPMENT_FAILURE),
)


class Performer:
    """Runs from `start` to `stop`; an item that is not finished then goes on when the server is back."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._worklist = services.worklist
        self._running: asyncio.Future[None] | None = None
        self._swept = time.monotonic()

    def start(self) -> None:
        """Begin to work items off."""
        self._running = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop the question that is being answered, too."""
        if self._running is not None:
            await cancel(self._running)

    async def _run(self) -> None:
        while True:
            self._worklist.changed.clear()
            try:
                if await self._do_next():
                    continue
            except WorklistUnavailable:  # it was logged; nothing is asked whose answer could not be noted
                await asyncio.sleep(_LOOK_S)
            except Exception:  # the task's edge: one item must not end the work on all others
                _LOG.exception("the work on the worklist failed, and goes on")
                await asyncio.sleep(_LOOK_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._worklist.changed.wait(), _LOOK_S)

    async def _do_next(self) -> bool:
        """Whether there was something to do."""
        await self._tidy()
        uid = next_item(self._worklist.places) if self._services.watch.ready else None
        if uid is not None:
            await self._take(self._worklist.find(uid))
        return uid is not None

    async def _tidy(self) -> None:
        for uid in list_expired(self._worklist.places):
            await self._cancel(uid, describe_reason(EXPIRED, "nobody began with it before it expired"))
        if time.monotonic() - self._swept > _SWEEP_S:
            self._swept = time.monotonic()
            await self._worklist.sweep()

    async def _take(self, item: Workitem) -> None:
        """Claim an item unless it is ours since before a restart, and work on it to whatever end."""
        if item.state is State.SCHEDULED:
            try:
                transaction_uid = generate_uid(prefix=None)
                await self._worklist.change_state(item.uid, State.IN_PROGRESS, transaction_uid, own=True)
            except Conflict:
                return  # another performer was sooner
        task = asyncio.ensure_future(perform(self._services, item.uid))
        work = self._worklist.running[item.uid] = RunningWork(task)
        try:
            await asyncio.wait({task})
        finally:
            await cancel(task)
            del self._worklist.running[item.uid]
        await self._settle(item.uid, work)

    async def _settle(self, uid: str, work: RunningWork) -> None:
        """Give what did not end well a reason."""
        if self._worklist.find(uid).state.is_final:
            return
        if work.task.cancelled():
            await self._cancel(uid, work.cancellation or Dataset())
            return
        error = work.task.exception()
        if isinstance(error, GatewayError):
            code = next((code for kinds, code in _REASONS if isinstance(error, kinds)), UNSPECIFIED)
            await self._cancel(uid, describe_reason(code, error.message))
        else:
            _LOG.error("a work item failed", exc_info=error)
            await self._cancel(uid, describe_reason(UNSPECIFIED, "the server failed; its log has more"))

    async def _cancel(self, uid: str, reason: Dataset) -> None:
        with suppress(Conflict):  # claimed or completed a moment ago
            await self._worklist.cancel(uid, reason)

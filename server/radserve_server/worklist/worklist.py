"""The work items and what may be done to them (PS3.4 annex CC): one list for all who have a key."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pydicom import Dataset
from pydicom.uid import generate_uid

from radserve_server.errors import Conflict, InvalidRequest, NotFound, Overloaded, TooLarge
from radserve_server.settings import Settings
from radserve_server.worklist.dates import write_time
from radserve_server.worklist.queue import find_place
from radserve_server.worklist.requirements import UPS_PUSH, check_creation, check_update
from radserve_server.worklist.transitions import cancel_item, check_owner, move_item, update_item
from radserve_server.worklist.workitem import State, Workitem
from radserve_server.worklist.workitem_file import WorkitemFile

_MAX_ITEMS = 5_000
_MAX_ITEM_BYTES = 4 * 2**20
_MAX_BYTES = 256 * 2**20
_OF_A_CLAIM = 1024
_KEEP_FINAL_S = 7 * 86400.0
Check = Callable[[Workitem], Workitem]
"""Gives the item back, or raises what is wrong with it."""

_ALREADY = "299 radserve: The UPS is already in the requested state of {}."


@dataclass(slots=True)
class RunningWork:
    """This server's work on an item; `cancellation` is what somebody said who wants it stopped."""

    task: "asyncio.Task[None]"
    cancellation: Dataset | None = None


class Worklist:
    """Every change is checked and kept before the next one begins. Lasts as long as the server, or as its file."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError for a file that cannot be used."""
        self._file = None if settings.worklist_file is None else WorkitemFile(settings.worklist_file)
        self._items = {} if self._file is None else {item.uid: item for item in self._file.load()}
        self._sizes = {item.uid: _measure(item) for item in self}
        self.places = {item.uid: place for item in self if (place := find_place(item)) is not None}
        self._lock = asyncio.Lock()
        self.changed = asyncio.Event()
        self.running: dict[str, RunningWork] = {}

    def __iter__(self) -> Iterator[Workitem]:
        """All items, oldest first."""
        return iter(tuple(self._items.values()))

    def find(self, uid: str) -> Workitem:
        """Raises NotFound."""
        item = self._items.get(uid)
        if item is None:
            message = "there is no such work item: it was never created, or ended more than a week ago"
            raise NotFound(message, code="workitem_not_found", param="workitem")
        return item

    async def create(self, caller: str, uid: str | None, dataset: Dataset, check: Check) -> Workitem:
        """Schedule an item (N-CREATE); raises InvalidRequest naming the tag, Conflict if its UID is taken."""
        check_creation(dataset)
        given = str(dataset.get("SOPInstanceUID") or uid or generate_uid(prefix=None))
        if uid is not None and given != uid:
            message = "SOP Instance UID (0008,0018) is not the work item's UID in the query"
            raise InvalidRequest(message, param="SOPInstanceUID")
        now = time.time()
        dataset.SOPClassUID, dataset.SOPInstanceUID = UPS_PUSH, given
        dataset.WorklistLabel = dataset.WorklistLabel or "radserve"
        dataset.ScheduledProcedureStepModificationDateTime = write_time(now)
        dataset.ProcedureStepProgressInformationSequence = []
        dataset.UnifiedProcedureStepPerformedProcedureSequence = []
        dataset.pop("TransactionUID", None)
        if self._is_full():
            await self.sweep()
        return await self._apply(lambda: check(self._add(Workitem.of(dataset, caller, now))))

    async def update(
        self, uid: str, transaction_uid: str | None, changes: Dataset, check: Check | None = None
    ) -> Workitem:
        """Set attributes (N-SET); whoever claimed the item must show its Transaction UID."""
        check_update(changes)

        def change() -> Workitem:
            item = update_item(self.find(uid), transaction_uid, changes)
            return item if check is None else check(item)

        return await self._apply(change)

    async def change_state(
        self, uid: str, wanted: State, transaction_uid: str | None, *, own: bool = False
    ) -> str | None:
        """Claim, complete or cancel (N-ACTION); gives the Warning where the item is in that state already."""
        warnings: list[str] = []

        def change() -> Workitem:
            item = self.find(uid)
            if item.state is wanted and wanted.is_final:
                check_owner(item, transaction_uid)
                warnings.append(_ALREADY.format(wanted))
                return item
            return move_item(item, wanted, transaction_uid, own=own)

        await self._apply(change)
        return warnings[0] if warnings else None

    async def request_cancellation(self, uid: str, request: Dataset) -> str | None:
        """Cancel what waits, stop what this server does; raises Conflict where the performer cannot be told."""
        if self.find(uid).state is State.CANCELED:
            return _ALREADY.format(State.CANCELED)
        work = self.running.get(uid)
        if work is None:
            await self.cancel(uid, request)
        else:
            work.cancellation = request
            work.task.cancel()
        return None

    async def cancel(self, uid: str, reason: Dataset) -> None:
        """End an item that waits or that this server performs."""
        await self._apply(lambda: cancel_item(self.find(uid), reason))

    async def sweep(self) -> None:
        """Forget what ended long ago; where the list is full, what ended first."""
        async with self._lock:
            ended = sorted((item for item in self if item.state.is_final), key=lambda item: item.changed)
            for item in ended:
                if time.time() - item.changed <= _KEEP_FINAL_S and not self._is_full():
                    return
                if self._file is not None:
                    await asyncio.to_thread(self._file.delete, item.uid)
                del self._items[item.uid], self._sizes[item.uid]

    async def close(self) -> None:
        """Let go of the file."""
        async with self._lock:
            if self._file is not None:
                self._file.close()

    async def _apply(self, change: Callable[[], Workitem]) -> Workitem:
        """To the end, even if whoever asked for it goes away: file and memory must say the same."""
        return await asyncio.shield(asyncio.ensure_future(self._apply_alone(change)))

    async def _apply_alone(self, change: Callable[[], Workitem]) -> Workitem:
        async with self._lock:
            item = replace(change(), changed=time.time())
            size = await asyncio.to_thread(_measure, item)
            self._check_size(item, size)
            if self._file is not None:
                await asyncio.to_thread(self._file.save, item)
            self._items[item.uid], self._sizes[item.uid] = item, size
            place = find_place(item)
            if place is None:
                self.places.pop(item.uid, None)
            else:
                self.places[item.uid] = place
            self.changed.set()
            return item

    def _is_full(self) -> bool:
        """So that not even one more of the largest items fits."""
        return len(self._items) >= _MAX_ITEMS or self._bytes() + _MAX_ITEM_BYTES > _MAX_BYTES

    def _bytes(self) -> int:
        return sum(self._sizes.values())

    def _check_size(self, item: Workitem, size: int) -> None:
        """Refuses what grows; a claim or an end can always be noted. Raises TooLarge, Overloaded."""
        growth = size - self._sizes.get(item.uid, 0)
        if growth <= _OF_A_CLAIM or item.state.is_final:
            return
        if size > _MAX_ITEM_BYTES:
            raise TooLarge(f"the work item would have {size:,} bytes; at most {_MAX_ITEM_BYTES:,} are kept")
        if self._bytes() + growth > _MAX_BYTES and not item.own:
            raise Overloaded(f"the worklist holds {_MAX_BYTES:,} bytes of items, as much as it can")

    def _add(self, item: Workitem) -> Workitem:
        if item.uid in self._items:
            message = "there is a work item of this UID already"
            raise Conflict(message, code="workitem_exists", param="workitem")
        if len(self._items) >= _MAX_ITEMS:
            raise Overloaded(
                f"the worklist holds {_MAX_ITEMS:,} items that have not ended, as many as it can"
            )
        return item


def _measure(item: Workitem) -> int:
    return len(json.dumps(item.attributes))

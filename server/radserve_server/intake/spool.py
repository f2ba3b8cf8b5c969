"""The archive of what was pushed here: bounded in bytes and in time, filled from several threads."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from radserve_server.errors import ArchiveError, InstanceRefused
from radserve_server.intake.configuration import SpoolTable
from radserve_server.intake.instances import OUT_OF_RESOURCES, Instance, read_instance
from radserve_server.intake.vault import EncryptedFolder, MemoryVault, Ticket, Vault
from radserve_server.pacs.archive import (
    INTAKE,
    InstanceAddress,
    InstanceEntry,
    SeriesEntry,
    missing,
)

Outcome = Literal["stored", "replaced", "known"]


@dataclass(frozen=True, slots=True)
class _Kept:
    instance: Instance
    ticket: Ticket
    size: int


@dataclass(slots=True)
class _Study:
    """`growth` counts the images that came or changed; `touched` is when something last came."""

    touched: float
    growth: int = 0
    kept: dict[InstanceAddress, _Kept] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StudyState:
    """A study as it is now."""

    growth: int
    instances: tuple[Instance, ...]


class Spool:
    """Keeps at most `table.bytes`, and each study until nothing was added to it for `table.ttl_s`.

    A study goes as a whole, so that no question is answered on what is left of one. `note_loss` is told, from any
    thread, when instances are not here any more, or not what they were.
    """

    def __init__(
        self,
        table: SpoolTable,
        clock: Callable[[], float] = time.monotonic,
        note_loss: Callable[[], None] = lambda: None,
    ) -> None:
        self._table = table
        self._clock = clock
        self._note_loss = note_loss
        self._vault: Vault = MemoryVault() if table.folder is None else EncryptedFolder(table.folder)
        self._lock = threading.Lock()
        self._studies: OrderedDict[str, _Study] = OrderedDict()  # the one touched last is the last
        self.bytes = 0

    @property
    def name(self) -> str:
        """As requests call it."""
        return INTAKE

    @property
    def url(self) -> str | None:
        """None: what is pushed here is given to nobody."""
        return None

    def open(self) -> None:
        """Begin empty; raises ValueError if the folder cannot be used."""
        self._vault.open()

    def put(self, instance: Instance, data: bytes) -> Outcome:
        """Keep an instance; one that is here already, the same to the last bit, is known. Raises InstanceRefused."""
        if self._touch_known(instance):
            return "known"
        self._reserve(len(data), instance.address.study)
        try:
            ticket = self._vault.put(data)
        except OSError:
            with self._lock:
                self.bytes -= len(data)
            raise _full() from None
        return "replaced" if self._index(_Kept(instance, ticket, len(data))) else "stored"

    def state(self, study: str) -> StudyState | None:
        """A study as it is now; None if it is not or no longer here."""
        with self._lock:
            found = self._find(study)
            if found is None:
                return None
            return StudyState(found.growth, tuple(kept.instance for kept in found.kept.values()))

    async def list_series(self, study: str) -> Sequence[SeriesEntry]:
        """The series of a study; raises NotFound."""
        found: dict[str, list[SeriesEntry]] = {}
        for instance in self._instances(study, "study"):
            found.setdefault(instance.address.series, []).append(instance.series)
        return [
            SeriesEntry(uid, entries[0].modality, entries[0].description, len(entries))
            for uid, entries in found.items()
        ]

    async def list_instances(self, study: str, series: str) -> Sequence[InstanceEntry]:
        """The instances of a series; raises NotFound."""
        found = [
            instance.entry
            for instance in self._instances(study, "series")
            if instance.address.series == series
        ]
        if not found:
            raise missing("series", INTAKE)
        return found

    async def fetch(self, address: InstanceAddress) -> bytes:
        """The file as it came; raises NotFound."""
        with self._lock:
            study = self._find(address.study)
            kept = None if study is None else study.kept.get(address)
        if kept is None:
            raise missing("instance", INTAKE)
        try:
            if isinstance(kept.ticket, bytes):
                return self._vault.read(kept.ticket)
            return await asyncio.to_thread(self._vault.read, kept.ticket)
        except FileNotFoundError:
            raise missing("instance", INTAKE) from None
        except OSError:
            raise ArchiveError(f"{INTAKE}: a file of the spool cannot be read back; push it again") from None

    async def find_instance(self, study: str, instance: str) -> InstanceAddress:
        """In which series of a study an instance lies; raises NotFound."""
        for known in self._instances(study, "instance"):
            if known.address.instance == instance:
                return known.address
        raise missing("instance", INTAKE)

    async def store(self, instances: Sequence[bytes]) -> None:
        """Keep DICOM files; raises ArchiveError naming the first that is not taken."""
        try:
            for data in instances:
                await asyncio.to_thread(self._store, data)
        except InstanceRefused as error:
            raise ArchiveError(f"{INTAKE}: {error.message}") from None

    def sweep(self) -> None:
        """Forget the studies that are too old."""
        with self._lock:
            oldest = self._clock() - self._table.ttl_s
            for uid in [uid for uid, study in self._studies.items() if study.touched <= oldest]:
                self._drop(uid)

    async def close(self) -> None:
        """Forget all."""
        with self._lock:
            for uid in list(self._studies):
                self._drop(uid)
        self._vault.close()

    def _store(self, data: bytes) -> None:
        self.put(read_instance(data, None), data)

    def _touch_known(self, instance: Instance) -> bool:
        with self._lock:
            study = self._find(instance.address.study)
            known = None if study is None else study.kept.get(instance.address)
            if study is None or known is None or known.instance.digest != instance.digest:
                return False
            self._touch(instance.address.study, study)
            return True

    def _reserve(self, size: int, study: str) -> None:
        """Set room aside, which `drop_oldest` makes at the price of other studies; raises InstanceRefused."""
        self.sweep()
        with self._lock:
            while self.bytes + size > self._table.bytes:
                other = next((uid for uid in self._studies if uid != study), None)
                if self._table.when_full == "refuse" or other is None or size > self._table.bytes:
                    raise _full()
                self._drop(other)
            self.bytes += size

    def _index(self, kept: _Kept) -> bool:
        """Whether it took the place of another."""
        address = kept.instance.address
        with self._lock:
            study = self._studies.setdefault(address.study, _Study(0.0))
            before = study.kept.get(address)
            if before is not None:
                self._forget(before)
                self._note_loss()
            study.kept[address] = kept
            study.growth += bool(kept.instance.entry.planes)
            self._touch(address.study, study)
        return before is not None

    def _instances(self, study: str, what: str) -> tuple[Instance, ...]:
        state = self.state(study)
        if state is None:
            raise missing(what, INTAKE)
        return state.instances

    def _find(self, study: str) -> _Study | None:
        found = self._studies.get(study)
        if found is None or found.touched <= self._clock() - self._table.ttl_s:
            return None
        return found

    def _touch(self, uid: str, study: _Study) -> None:
        study.touched = self._clock()
        self._studies.move_to_end(uid)

    def _drop(self, uid: str) -> None:
        for kept in self._studies.pop(uid).kept.values():
            self._forget(kept)
        self._note_loss()

    def _forget(self, kept: _Kept) -> None:
        self.bytes -= kept.size
        self._vault.discard(kept.ticket)


def _full() -> InstanceRefused:
    return InstanceRefused("the spool is full: push it again later", OUT_OF_RESOURCES, code="spool_full")

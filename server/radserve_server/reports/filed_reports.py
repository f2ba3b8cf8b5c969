"""Which answers were filed as which report, so that none is filed twice."""

import asyncio
from dataclasses import dataclass
from weakref import WeakValueDictionary

from radserve_server.errors import Conflict
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.reports.report_schema import Kind

_ENTRY_BYTES = 512
Key = tuple[str, Kind]


@dataclass(frozen=True, slots=True)
class FiledReport:
    """A report that archives hold."""

    sop_instance_uid: str
    archives: frozenset[str]


class FiledReports:
    """By answer and kind, whoever files it; remembered as long as the answer."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._filed: ExpiringCache[Key, FiledReport] = ExpiringCache(max_bytes, ttl_s)
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def turn(self, key: Key) -> asyncio.Lock:
        """Hold it while filing: two clicks at once are one report."""
        return self._locks.setdefault(key, asyncio.Lock())

    def is_filed(self, key: Key, sop_instance_uid: str, archive: str) -> bool:
        """Whether this very report lies there; raises Conflict if the answer was filed with other words."""
        found = self._filed.get(key)
        if found is None:
            return False
        if found.sop_instance_uid != sop_instance_uid:
            raise Conflict(
                f"the answer is filed already, with another comment, as SOP instance {found.sop_instance_uid}; "
                "a second report on it would contradict the first: ask again to file anew",
                code="already_filed",
                param="comment",
            )
        return archive in found.archives

    def note(self, key: Key, sop_instance_uid: str, archive: str) -> None:
        """It lies there now."""
        found = self._filed.get(key)
        archives = frozenset({archive}) if found is None else found.archives | {archive}
        self._filed.put(key, FiledReport(sop_instance_uid, archives), _ENTRY_BYTES)

    def sweep(self) -> None:
        """Forget what is too old."""
        self._filed.sweep()

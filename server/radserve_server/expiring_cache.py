"""A memory of bounded size whose entries grow old: the least recently used goes first."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    size: int
    expires: float


class ExpiringCache(Generic[K, V]):
    """At most `max_bytes` in all, each entry for `ttl_s`."""

    def __init__(self, max_bytes: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._entries: OrderedDict[K, _Entry[V]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, which thereby is the most recently used; None if it is not or no longer there."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= self._clock():
            self.discard(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def put(self, key: K, value: V, size: int) -> bool:
        """Keep `value`, at the price of older ones; False if it alone is over the limit."""
        self.discard(key)
        if size > self._max_bytes:
            return False
        self._entries[key] = _Entry(value, size, self._clock() + self._ttl_s)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self.discard(next(iter(self._entries)))
        return True

    def items(self) -> list[tuple[K, V]]:
        """All that is kept, without using it."""
        return [(key, entry.value) for key, entry in self._entries.items()]

    def discard(self, key: K) -> bool:
        """Forget one entry; whether it was there."""
        entry = self._entries.pop(key, None)
        self.bytes -= entry.size if entry else 0
        return entry is not None

    def discard_where(self, matches: Callable[[K], bool]) -> None:
        """Forget all entries whose key matches."""
        for key in [key for key in self._entries if matches(key)]:
            self.discard(key)

    def sweep(self) -> None:
        """Forget all that is too old."""
        now = self._clock()
        for key in [key for key, entry in self._entries.items() if entry.expires <= now]:
            self.discard(key)

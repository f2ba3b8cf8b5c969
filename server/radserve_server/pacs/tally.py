"""What one question took out of archives, counted where it happens and told beside the answer."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from radserve_server.pacs.archive import InstanceAddress


@dataclass(slots=True)
class Tally:
    """`bytes` are those of the `fetched` instances, `metadata_bytes` those of what was said of instances."""

    fetched: set[InstanceAddress] = field(default_factory=set)
    bytes: int = 0
    metadata_bytes: int = 0

    def to_json(self, needed: Set[InstanceAddress]) -> dict[str, int]:
        """As it stands under `clinical.archive`; what was `needed` and not fetched was here already."""
        return {
            "instances": len(self.fetched),
            "bytes": self.bytes,
            "metadata_bytes": self.metadata_bytes,
            "cached": len(needed - self.fetched),
        }


_RUNNING: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def counting(tally: Tally) -> Iterator[None]:
    """Within the block, and in the tasks that it starts, what comes out of archives is counted here."""
    token = _RUNNING.set(tally)
    try:
        yield
    finally:
        _RUNNING.reset(token)


def note_fetched(address: InstanceAddress, size: int) -> None:
    """An instance came."""
    tally = _RUNNING.get()
    if tally is not None:
        tally.fetched.add(address)
        tally.bytes += size


def note_metadata(size: int) -> None:
    """Words about instances came."""
    tally = _RUNNING.get()
    if tally is not None:
        tally.metadata_bytes += size

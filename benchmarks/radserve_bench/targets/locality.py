"""Whether a target runs on this machine."""

from collections.abc import Sequence
from urllib.parse import urlsplit

_HERE = ("127.0.0.1", "localhost", "::1")


def listeners(url: str) -> Sequence[int] | None:
    """Ids of this user's processes that listen at a loopback address; None for others, or where none is found."""
    where = urlsplit(url if "//" in url else f"//{url}")
    port = where.port or (443 if where.scheme == "https" else 80)
    if where.hostname not in _HERE:
        return None
    from radserve_bench.metering.processes import processes_listening

    return processes_listening(port) or None

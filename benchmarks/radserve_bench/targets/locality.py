"""Whether a target runs on this machine."""

from collections.abc import Sequence
from urllib.parse import urlsplit

_PASSING_ON = (
    "ssh",
    "sshd",
    "docker-proxy",
    "kubectl",
    "socat",
    "nginx",
    "envoy",
    "haproxy",
    "traefik",
    "caddy",
)
_HERE = ("127.0.0.1", "localhost", "::1")


def listeners(url: str) -> Sequence[int] | None:
    """Ids of this user's processes that listen at a loopback address; None for others, or where none is found.

    None where what listens only passes on: whoever answers is elsewhere, and its work is not the tunnel's.
    """
    where = urlsplit(url if "//" in url else f"//{url}")
    port = where.port or (443 if where.scheme == "https" else 80)
    if where.hostname not in _HERE:
        return None
    from radserve_bench.metering.processes import name_of, processes_listening

    found = processes_listening(port)
    return None if not found or any(name_of(pid) in _PASSING_ON for pid in found) else found

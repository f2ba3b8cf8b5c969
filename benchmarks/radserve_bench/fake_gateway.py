"""`python -m radserve_bench.fake_gateway`: a real gateway, decoding workers included, before the fake engine.

It says where it listens as `radserve up` does, and ends on SIGTERM or Ctrl-C. Options that it does not know are the
gateway's own: --port, --max-running, --log-level …
"""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from radserve_client.running import running_child

if TYPE_CHECKING:
    from radserve_server.embedded import Gateway
    from radserve_server.fake import FakeBackend
    from radserve_server.settings import Settings

_MOST_IMAGES = 32


@dataclass(frozen=True, slots=True)
class FakeGateway:
    """Where it listens, and its process, whose children decode images."""

    url: str
    pid: int


@asynccontextmanager
async def running_fake_gateway(*options: str) -> AsyncIterator[str]:
    """The URL of one that is ready inside the block and gone after it; `options` are the command's.

    Raises RadserveError when it does not start, or ends ill.
    """
    async with fake_gateway_process(*options) as gateway:
        yield gateway.url


@asynccontextmanager
async def fake_gateway_process(*options: str, quiet: bool = False) -> AsyncIterator[FakeGateway]:
    """The same, with its process; a `quiet` one writes its log, but to nowhere."""
    level = () if "--log-level" in options else ("--log-level", "warning")
    words = ("-m", "radserve_bench.fake_gateway", "--port", "0", *level, *options)
    async with running_child("the fake gateway", words, _address, quiet=quiet) as (url, pid):
        yield FakeGateway(url, pid)


def _address(said: str) -> str | None:
    found = re.search(r"gateway\s+(http://\S+)", said)
    return found[1] if found else None


def main(words: Sequence[str]) -> int:
    """Run until it is told to end; the exit status is 2 for wrong options, 1 if it did not start."""
    given, rest = _parser().parse_known_args(words)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})  # inherited by the workers
    from radserve_server.settings import load_settings

    try:
        settings = load_settings([*rest, "--render-workers", str(given.workers)])
    except ValueError as error:
        print(f"fake_gateway: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level.upper())
    import uvloop

    return int(uvloop.run(_serve(settings, make_backend(given))))


def make_backend(given: argparse.Namespace) -> "FakeBackend":
    """The engine that the options describe."""
    from radserve_server.fake import MANIFEST, WORDS, FakeBackend

    side = given.image_side
    shown = {"slices": {"count": given.slices}, "max_images": _MOST_IMAGES}
    policy = {"width": side, "height": side, **shown}
    return FakeBackend(
        words=tuple(islice(cycle(WORDS), given.answer_tokens)),
        first_delay_s=given.first_ms / 1000,
        token_delay_s=given.token_ms / 1000,
        slots=given.slots,
        fail_every=given.fail_every,
        fail_after=given.fail_after if given.fail_every else None,
        manifest={**MANIFEST, "image_policy": policy},
        forgetful=True,
    )


async def _serve(settings: "Settings", backend: "FakeBackend") -> bool:
    """Whether it failed."""
    from radserve_server.embedded import Gateway

    gateway = Gateway(settings, backend)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _end, gateway)
    announcement = asyncio.create_task(_announce(gateway))
    await gateway.serve()
    announcement.cancel()
    return not gateway.started


def _end(gateway: "Gateway") -> None:
    """The first signal lets running answers finish, the second does not."""
    gateway.force_exit = gateway.should_exit
    gateway.should_exit = True


async def _announce(gateway: "Gateway") -> None:
    while not gateway.started:
        await asyncio.sleep(0.01)
    host, port = gateway.servers[0].sockets[0].getsockname()[:2]
    print(f"  gateway  http://{host}:{port}   (before the fake engine)", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m radserve_bench.fake_gateway",
        description="A real gateway before an engine whose schedule is known.",
        epilog="Further options go to the gateway: --port, --max-running, --log-level …",
    )
    add = parser.add_argument
    add("--first-ms", type=float, default=80.0, help="question to first token (default: 80)")
    add("--token-ms", type=float, default=10.0, help="token to token (default: 10)")
    add("--answer-tokens", type=int, default=6, help="unless max_tokens with ignore_eos says (default: 6)")
    add("--fail-every", type=int, metavar="N", help="each N-th question fails, before its first token")
    add("--fail-after", type=int, metavar="TOKENS", help="those fail after so many tokens instead")
    add("--slots", type=int, metavar="N", help="questions answered at once (default: all)")
    add("--workers", type=int, default=1, metavar="N", help="processes that decode images (default: 1)")
    add("--image-side", type=int, default=448, metavar="PX", help="of what the engine sees (default: 448)")
    add("--slices", type=int, default=1, metavar="N", help="of a series, how many it sees (default: 1)")
    add("--core", type=int, metavar="N", help="run on this core only")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A running server under load, as its users feel it: `python -m radserve_bench.served URL`.

At each concurrency that many askers put the same question about one uploaded CT slice, again and again, until
`--requests` answers of exactly `--tokens` tokens are in; a first answer for each asker is not counted. The clock
starts before a request's first byte is sent, TTFT ends at the first event with text, and token counts come from
usage. Tokens/s is over the wall time of the counted requests. The last line of stdout is one JSON document.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydicom.data import get_testdata_file

from radserve_bench.wire import post
from radserve_client.client import AsyncClient

_QUESTION = "What abnormality is seen in the image?"


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: seconds to the first text, seconds in all, tokens by usage."""

    ttft: float
    total: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Point:
    """One concurrency's figures; ITL is what is left of an answer after its first token, a token."""

    concurrency: int
    requests: int
    ttft_p50_ms: float
    ttft_p95_ms: float
    itl_ms: float
    tokens_per_s: float
    requests_per_s: float


async def measure(
    url: str, image: Path, concurrencies: Sequence[int], requests: int, tokens: int
) -> dict[str, Any]:
    """All points of one server. Raises ApiError or RuntimeError with what the server said."""
    async with AsyncClient(url) as client:
        (engine,) = await client.models()
        image_id = await client.upload(image)
    body = {
        "model": engine["id"],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"radserve://images/{image_id}"}},
                    {"type": "text", "text": _QUESTION},
                ],
            }
        ],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    points = []
    for concurrency in concurrencies:
        points.append(await _point(f"{url.rstrip('/')}/v1/chat/completions", body, concurrency, requests))
        print(_line(points[-1]), flush=True)
    return {
        "engine": engine["id"],
        "digest": engine["clinical"]["digest"],
        "tokens": tokens,
        "points": [asdict(point) for point in points],
    }


async def _point(url: str, body: dict[str, Any], concurrency: int, requests: int) -> Point:
    await asyncio.gather(*(_ask(url, body) for _ in range(concurrency)))
    left = iter(range(max(requests, concurrency)))

    async def ask_on() -> list[Answered]:
        return [await _ask(url, body) for _ in left]

    began = time.perf_counter()
    answered = [one for many in await asyncio.gather(*(ask_on() for _ in range(concurrency))) for one in many]
    wall = time.perf_counter() - began
    ttft = sorted(1e3 * one.ttft for one in answered)
    itl = [1e3 * (one.total - one.ttft) / max(one.tokens - 1, 1) for one in answered]
    return Point(
        concurrency,
        len(answered),
        round(statistics.median(ttft), 2),
        round(ttft[min(int(0.95 * len(ttft)), len(ttft) - 1)], 2),
        round(statistics.median(itl), 3),
        round(sum(one.tokens for one in answered) / wall, 1),
        round(len(answered) / wall, 2),
    )


async def _ask(url: str, body: dict[str, Any]) -> Answered:
    first, count = 0.0, 0
    began = time.perf_counter()
    async for chunk in post(url, body):
        if not first and any(choice["delta"].get("content") for choice in chunk["choices"]):
            first = time.perf_counter() - began
        count = (chunk.get("usage") or {}).get("completion_tokens", count)
    return Answered(first, time.perf_counter() - began, count)


def _line(point: Point) -> str:
    return (
        f"{point.concurrency:>4} at once: TTFT p50 {point.ttft_p50_ms:.1f} ms, p95 {point.ttft_p95_ms:.1f} ms, "
        f"ITL {point.itl_ms:.2f} ms, {point.tokens_per_s:.0f} tokens/s, {point.requests_per_s:.2f} requests/s"
    )


def make_parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(prog="radserve_bench.served", description="A running server under load.")
    parser.add_argument("url", metavar="URL", help="the gateway's address, without API keys")
    parser.add_argument("--image", type=Path, help="default: a CT slice that pydicom ships")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32], metavar="N")
    parser.add_argument("--requests", type=int, default=64, help="answers at each concurrency (default: 64)")
    parser.add_argument("--tokens", type=int, default=64, help="length of every answer (default: 64)")
    return parser


def main() -> None:
    given = make_parser().parse_args()
    image = given.image or Path(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))
    document = asyncio.run(measure(given.url, image, given.concurrency, given.requests, given.tokens))
    print(json.dumps(document))


if __name__ == "__main__":
    main()

"""Answers and records as a person reads them at a terminal."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from radserve_client.client import Answer, AsyncClient, Image


async def ask_aloud(client: AsyncClient, images: Sequence[Image], question: str, **options: Any) -> Answer:
    """Print the answer as it streams, then what it took; returns it."""
    image_ids = [await client.upload(image) for image in images]
    began = time.perf_counter()
    first = 0.0
    print("A  ", end="", flush=True)
    async for item in client.stream_about(image_ids, question, **options):
        if isinstance(item, Answer):
            print()
            _tell_cost(item, first - began if first else 0.0, time.perf_counter() - began)
            for warning in item.clinical.get("warnings", ()):
                print(f"   ! {warning}")
            return item
        first = first or time.perf_counter()
        print(item, end="", flush=True)
    raise AssertionError("stream_about ends with an Answer or raises")


def tell_record(record: Mapping[str, Any], indent: str = "  ") -> None:
    """Print a rendering record, nested parts on one line."""
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        if value in (None, [], ()):
            continue
        print(f"{indent}{name:<{width}}  {_plain(value)}")


def _tell_cost(answer: Answer, first_s: float, total_s: float) -> None:
    tokens = int(answer.usage["completion_tokens"])
    rate = tokens / total_s if total_s else 0.0
    engine = answer.clinical["engine"]
    print(
        f"   TTFT {1e3 * first_s:.0f} ms · {tokens} tokens · {rate:.0f} tokens/s · {answer.finish_reason}"
        f" · engine {engine['digest'][:19]}…"
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return (
            " × ".join(map(_plain, value))
            if all(isinstance(v, int) for v in value)
            else "; ".join(map(_plain, value))
        )
    return str(value)

"""Answers and records as a person reads them at a terminal."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from radserve_client.client import Answer, AsyncClient
from radserve_client.errors import AnswerBroken


async def ask_aloud(client: AsyncClient, image_ids: Sequence[str], question: str, **options: Any) -> Answer:
    """Print the answer as it streams, then what it took; returns it. The clock starts before the question is sent."""
    began = time.perf_counter()
    first = 0.0
    print("A  ", end="", flush=True)
    async for item in client.stream_about(image_ids, question, **options):
        if isinstance(item, Answer):
            print()
            _tell_confidence(item)
            _tell_cost(item, (first or time.perf_counter()) - began)
            return item
        first = first or time.perf_counter()
        print(item, end="", flush=True)
    raise AnswerBroken("the server sent no answer")


def tell_warnings(answer: Answer) -> None:
    """Print what the server wants to be known about this answer."""
    for warning in answer.clinical.get("warnings", ()):
        print(f"   ! {warning}")


def tell_record(record: Mapping[str, Any], indent: str = "  ") -> None:
    """Print a rendering record, nested parts on one line."""
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        if value in (None, [], ()):
            continue
        print(f"{indent}{name:<{width}}  {_plain(value)}")


def _tell_confidence(answer: Answer) -> None:
    confidence, basis = answer.clinical.get("confidence"), answer.clinical.get("confidence_basis") or {}
    if confidence is not None:
        said = "not confident" if answer.clinical["abstained"] else "confident"
        print(f"   {said} ({100 * confidence:.0f} %)")
    elif basis.get("reason"):
        print(f"   confidence unknown: {basis['reason']}")


def _tell_cost(answer: Answer, first_s: float) -> None:
    tokens = int(answer.usage["completion_tokens"])
    decode_s = answer.clinical["timings"]["decode_ms"] / 1e3
    rate = f"{(tokens - 1) / decode_s:.0f} tokens/s" if tokens > 1 and decode_s > 0 else "one token"
    digest = answer.clinical["engine"]["digest"][:19]
    print(
        f"   TTFT {1e3 * first_s:.0f} ms · {tokens} tokens, {rate} · {answer.finish_reason} · engine {digest}…"
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

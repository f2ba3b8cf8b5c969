"""How much the chain gains over `transformers.generate`, as ratios: `python -m radserve_bench.ratios`.

Both sides answer the same question about the same CT slice with the same checkpoint, on this machine, in this
run, in turn: baseline, server, direct Triton, eight at once, and again, so that a change of the machine's speed
falls on all of them. Each is asked several times a round, the first not counted, and a round's figure is its median.
Answers are held at a fixed number of tokens; token counts come from usage.

- TTFT, server: from before the request's first byte is sent until the first event with text, over HTTP, with the
  image uploaded before. TTFT, baseline: from the call of `generate` until its first token; the processor's
  resizing and normalising comes before the clock starts, in the baseline's favour.
- Throughput: tokens of all answers over the wall time of eight questions; `generate` serves them one by one.
- What the gateway adds: TTFT over HTTP less TTFT of the same pixels sent to Triton directly.

The last line of stdout is one JSON document.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from radserve_bench.baseline import Baseline
from radserve_bench.wire import post
from radserve_client.client import AsyncClient
from radserve_client.running import running_server
from radserve_engines.assets import demo_checkpoint
from radserve_imaging import ImagePolicy, render
from radserve_server.backend import Question
from radserve_server.triton import TritonBackend

QUESTION = "What abnormality is seen in the image?"
_CONCURRENT = 8
_REPEATS = 3
_VERSIONS = ("radserve", "torch", "transformers", "openvino-genai", "nvidia-pytriton")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and where: the uploaded image's id for the server, its RGB for Triton and the baseline."""

    url: str
    model: str
    image_id: str
    pixels: NDArray[np.uint8]
    tokens: int


@dataclass(slots=True)
class Rounds:
    """What each round measured: seconds to the first token, tokens a second; `added`, for each pair, seconds."""

    baseline_ttft: list[float] = field(default_factory=list)
    server_ttft: list[float] = field(default_factory=list)
    triton_ttft: list[float] = field(default_factory=list)
    baseline_rate: list[float] = field(default_factory=list)
    server_rate: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)


async def measure(rounds: int, tokens: int) -> dict[str, Any]:
    """All rounds against one server that this call starts and ends; returns the JSON document."""
    image = Path(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))
    baseline = Baseline(demo_checkpoint(), tokens)
    async with running_server() as server:
        async with AsyncClient(server.url) as client:
            (engine,) = await client.models()
            image_id = await client.upload(image)
        pixels = render(image.read_bytes(), ImagePolicy.from_json(engine["clinical"]["image_policy"])).pixels
        triton = TritonBackend(server.triton_url)
        question = Asked(server.url, engine["id"], image_id, pixels, tokens)
        found = Rounds()
        await _round(Rounds(), baseline, triton, question)  # warm-up
        for number in range(1, rounds + 1):
            await _round(found, baseline, triton, question)
            print(f"round {number} of {rounds}: {_progress(found)}", file=sys.stderr, flush=True)
        await triton.close()
    return _document(found, engine, rounds, tokens)


async def _round(found: Rounds, baseline: Baseline, triton: TritonBackend, asked: Asked) -> None:
    """Each side several times, the first of each not counted: it pays for the pause."""
    alone = [await asyncio.to_thread(baseline.ask, asked.pixels, QUESTION) for _ in range(_REPEATS + 1)][1:]
    found.baseline_ttft.append(statistics.median(ttft for ttft, _ in alone))
    found.baseline_rate.append(statistics.median(rate for _, rate in alone))
    await asyncio.sleep(0.5)  # the threads of PyTorch spin on for a while after their last work
    pairs = [(await _ask_server(asked), await _ask_triton(triton, asked)) for _ in range(2 * _REPEATS + 1)][
        1:
    ]
    found.server_ttft.append(statistics.median(server for (server, _), _ in pairs))
    found.triton_ttft.append(statistics.median(direct for _, direct in pairs))
    found.added += [server - direct for (server, _), direct in pairs]
    began = time.perf_counter()
    tokens = 0
    for _ in range(_REPEATS):
        answers = await asyncio.gather(*(_ask_server(asked) for _ in range(_CONCURRENT)))
        tokens += sum(count for _, count in answers)
    found.server_rate.append(tokens / (time.perf_counter() - began))


async def _ask_server(asked: Asked) -> tuple[float, int]:
    """Seconds to the first event with text, and the tokens that usage counts."""
    body = {
        "model": asked.model,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"radserve://images/{asked.image_id}"}},
                    {"type": "text", "text": QUESTION},
                ],
            }
        ],
        "max_tokens": asked.tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    first, count = 0.0, 0
    began = time.perf_counter()
    async for chunk in post(f"{asked.url}/v1/chat/completions", body):
        if not first and any(choice["delta"].get("content") for choice in chunk["choices"]):
            first = time.perf_counter() - began
        count = (chunk.get("usage") or {}).get("completion_tokens", count)
    return first, count


async def _ask_triton(triton: TritonBackend, asked: Asked) -> float:
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    sampling = {"max_tokens": asked.tokens, "ignore_eos": True}
    question = Question(({"role": "user", "content": content},), (asked.pixels,), sampling)
    first = 0.0
    began = time.perf_counter()
    async for _ in triton.stream(question):
        first = first or time.perf_counter() - began
    return first


def _document(found: Rounds, engine: Mapping[str, Any], rounds: int, tokens: int) -> dict[str, Any]:
    ttft = [b / s for b, s in zip(found.baseline_ttft, found.server_ttft, strict=True)]
    rate = [s / b for s, b in zip(found.server_rate, found.baseline_rate, strict=True)]
    return {
        "ratios": {
            "baseline TTFT / server TTFT": _spread(ttft),
            f"server tokens/s at {_CONCURRENT} / baseline tokens/s": _spread(rate),
        },
        "gateway adds to TTFT, ms": _spread([1e3 * x for x in found.added]),
        "baseline TTFT, ms": _spread([1e3 * x for x in found.baseline_ttft]),
        "server TTFT, ms": _spread([1e3 * x for x in found.server_ttft]),
        "direct Triton TTFT, ms": _spread([1e3 * x for x in found.triton_ttft]),
        "baseline tokens/s": _spread(found.baseline_rate),
        f"server tokens/s at {_CONCURRENT}": _spread(found.server_rate),
        "rounds": rounds,
        "tokens an answer": tokens,
        "engine": engine["clinical"]["digest"],
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0))},
        "versions": {name: version(name) for name in _VERSIONS},
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def _progress(found: Rounds) -> str:
    return (
        f"TTFT {1e3 * found.baseline_ttft[-1]:.0f} → {1e3 * found.server_ttft[-1]:.0f} ms, "
        f"{found.baseline_rate[-1]:.0f} → {found.server_rate[-1]:.0f} tokens/s"
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
        )


def _print_table(document: dict[str, Any]) -> None:
    rows = {
        **document["ratios"],
        **{k: v for k, v in document.items() if isinstance(v, dict) and "median" in v},
    }
    width = max(map(len, rows))
    print(f"{'':<{width}}  {'median':>8} {'min':>8} {'max':>8}")
    for name, spread in rows.items():
        print(f"{name:<{width}}  {spread['median']:>8.2f} {spread['min']:>8.2f} {spread['max']:>8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="radserve_bench.ratios", description="Ratios against the PyTorch baseline."
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=32, help="length of every answer")
    given = parser.parse_args()
    document = asyncio.run(measure(given.rounds, given.tokens))
    _print_table(document)
    print(json.dumps(document))


if __name__ == "__main__":
    main()

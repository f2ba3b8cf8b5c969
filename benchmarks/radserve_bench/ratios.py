"""How much the chain gains over `transformers.generate`, as ratios: `python -m radserve_bench.ratios`.

All sides answer the same question about the same CT slice with the same checkpoint, on this machine, in this
run, in turn: baseline; then for each `--engine` its server, direct Triton, eight at once; and again, so that a change
of the machine's speed falls on all of them. Each is asked several times a round, the first not counted, and a round's
figure is its median. Answers are held at a fixed number of tokens; token counts come from usage.

- TTFT, server: from before the request's first byte is sent until the first event with text, over HTTP, with the
  image uploaded before. TTFT, baseline: from the call of `generate` until its first token; the processor's
  resizing and normalising comes before the clock starts, in the baseline's favour.
- Throughput: tokens of all answers over the wall time of eight questions; `generate` serves them one by one.
- One stream: tokens of one answer over its wall time, on both sides.
- What the gateway adds: TTFT over HTTP less TTFT of the same pixels sent to Triton directly.

The last line of stdout is one JSON document.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from radserve_bench.baseline import Baseline
from radserve_bench.ratio_report import (
    CONCURRENT,
    BaselineRounds,
    Compared,
    EngineRounds,
    build_document,
    markdown,
)
from radserve_bench.wire import post
from radserve_client.client import AsyncClient
from radserve_client.running import running_server
from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.checkpoints.digest import checkpoint_digest
from radserve_engines.errors import ManifestError
from radserve_engines.manifest import read_manifest
from radserve_imaging import ImagePolicy, render
from radserve_server.backend import Question
from radserve_server.triton import TritonBackend

QUESTION = "What abnormality is seen in the image?"
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and where: the uploaded image's id for the server, its RGB for Triton and the baseline."""

    url: str
    model: str
    image_id: str
    pixels: NDArray[np.uint8]
    tokens: int


@dataclass(slots=True)
class Served:
    """One engine behind its server, with what the rounds find."""

    folder: Path
    digest: str
    asked: Asked
    triton: TritonBackend
    found: EngineRounds = field(default_factory=EngineRounds)


async def measure(engines: Sequence[Path], checkpoint: Path, rounds: int, tokens: int) -> dict[str, Any]:
    """All rounds against servers that this call starts and ends; returns the JSON document.

    Raises ManifestError for an engine of another checkpoint.
    """
    refuse_strangers(engines, checkpoint)
    image = Path(str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False)))
    baseline, found = Baseline(checkpoint, tokens), BaselineRounds()
    async with AsyncExitStack() as stack:
        served = [await stack.enter_async_context(_serving(folder, image, tokens)) for folder in engines]
        for number in range(rounds + 1):
            await _round(found, baseline, served)
            if number:
                print(f"round {number} of {rounds}: {_progress(found, served)}", file=sys.stderr, flush=True)
            else:  # warm-up
                found = BaselineRounds()
                for one in served:
                    one.found = EngineRounds()
        compared = [Compared(one.folder, one.digest, one.found) for one in served]
    return build_document(found, compared, checkpoint, rounds, tokens)


def refuse_strangers(engines: Sequence[Path], checkpoint: Path) -> None:
    """Raises ManifestError for an engine that was made from another checkpoint than the baseline runs."""
    expected = checkpoint_digest(checkpoint)
    for folder in engines:
        if read_manifest(folder).checkpoint_sha256 != expected:
            raise ManifestError(
                f"{folder} was not made from {checkpoint}, so the two are no measure of each other: give its own "
                "checkpoint with --checkpoint"
            )


@asynccontextmanager
async def _serving(folder: Path, image: Path, tokens: int) -> AsyncIterator[Served]:
    async with running_server("--engine", str(folder), "--allow-ungated") as server:
        async with AsyncClient(server.url) as client:
            (engine,) = await client.models()
            image_id = await client.upload(image)
        pixels = render(image.read_bytes(), ImagePolicy.from_json(engine["clinical"]["image_policy"])).pixels
        triton = TritonBackend(server.triton_url)
        asked = Asked(server.url, engine["id"], image_id, pixels, tokens)
        yield Served(folder, engine["clinical"]["digest"], asked, triton)
        await triton.close()


async def _round(found: BaselineRounds, baseline: Baseline, served: Sequence[Served]) -> None:
    """Each side several times, the first of each not counted: it pays for the pause."""
    pixels = served[0].asked.pixels
    alone = [await asyncio.to_thread(baseline.ask, pixels, QUESTION) for _ in range(_REPEATS + 1)][1:]
    found.ttft.append(statistics.median(ttft for ttft, _ in alone))
    found.rate.append(statistics.median(rate for _, rate in alone))
    for one in served:
        await asyncio.sleep(
            0.5
        )  # the threads of PyTorch, or of another engine, spin on after their last work
        await _ask_engine(one)


async def _ask_engine(served: Served) -> None:
    found, asked = served.found, served.asked
    times = 2 * _REPEATS + 1
    pairs = [(await _ask_server(asked), await _ask_triton(served.triton, asked)) for _ in range(times)][1:]
    found.ttft.append(statistics.median(one.first for one, _ in pairs))
    found.single_rate.append(statistics.median(one.tokens / one.total for one, _ in pairs))
    found.triton_ttft.append(statistics.median(direct for _, direct in pairs))
    found.added += [one.first - direct for one, direct in pairs]
    began = time.perf_counter()
    tokens = 0
    for _ in range(_REPEATS):
        answers = await asyncio.gather(*(_ask_server(asked) for _ in range(CONCURRENT)))
        tokens += sum(answer.tokens for answer in answers)
    found.rate.append(tokens / (time.perf_counter() - began))


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds to the first event with text and to the last, and the tokens that usage counts."""

    first: float
    total: float
    tokens: int


async def _ask_server(asked: Asked) -> Timed:
    image = {"type": "image_url", "image_url": {"url": f"radserve://images/{asked.image_id}"}}
    body = {
        "model": asked.model,
        "messages": [{"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}],
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
    return Timed(first, time.perf_counter() - began, count)


async def _ask_triton(triton: TritonBackend, asked: Asked) -> float:
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    sampling = {"max_tokens": asked.tokens, "ignore_eos": True}
    question = Question(({"role": "user", "content": content},), (asked.pixels,), sampling)
    first = 0.0
    began = time.perf_counter()
    async for _ in triton.stream(question):
        first = first or time.perf_counter() - began
    return first


def _progress(found: BaselineRounds, served: Sequence[Served]) -> str:
    ttft = " ".join(f"{1e3 * one.found.ttft[-1]:.0f}" for one in served)
    rate = " ".join(f"{one.found.rate[-1]:.0f}" for one in served)
    return f"TTFT {1e3 * found.ttft[-1]:.0f} → {ttft} ms, {found.rate[-1]:.0f} → {rate} tokens/s"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="radserve_bench.ratios", description="Ratios against the PyTorch baseline."
    )
    parser.add_argument(
        "--engine",
        type=Path,
        action="append",
        metavar="DIR",
        help="engine, signed by a key that RADSERVE_TRUSTED_KEYS names; may be given again (default: the demo's)",
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="what the engines were made from (default: the demo's)"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=32, help="length of every answer")
    given = parser.parse_args()
    engines, checkpoint = given.engine or [demo_engine()], given.checkpoint or demo_checkpoint()
    document = asyncio.run(measure(engines, checkpoint, given.rounds, given.tokens))
    print(markdown(document))
    print(json.dumps(document))


if __name__ == "__main__":
    main()

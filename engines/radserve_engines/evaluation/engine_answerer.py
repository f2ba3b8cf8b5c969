"""Answers of an engine in this process, by whatever runtime its manifest asks for."""

import asyncio
import math
import time
from pathlib import Path
from typing import Any

from radserve_engines.calibration import judge
from radserve_engines.errors import EngineError, ManifestError
from radserve_engines.evaluation.asking import Ask, Identity, Outcome
from radserve_engines.evaluation.pictures import RenderedImages
from radserve_engines.generation import Delta, Generation, joined
from radserve_engines.manifest import FILE_NAME, EngineManifest, read_manifest
from radserve_engines.runtime.loading import load_runtime
from radserve_engines.runtime.protocol import Runtime
from radserve_imaging import ImagingError

_MOST_WAITING = 1 << 16  # what waits is bounded by the evaluation's own concurrency


class EngineAnswerer:
    """Greedy; images by the engine's own policy, `max_tokens` by its decoding defaults unless given."""

    def __init__(self, runtime: Runtime, location: str, max_tokens: int | None = None) -> None:
        self._runtime = runtime
        self._location = location
        self._images = RenderedImages(runtime.manifest.image_policy)
        self._sampling = runtime.manifest.decoding.merged(
            {"temperature": 0.0, "logprobs": True, "max_tokens": max_tokens}
        )

    async def identify(self) -> Identity:
        """By the manifest."""
        manifest = self._runtime.manifest
        fitted = manifest.confidence.fitted.get("sets", ()) if manifest.confidence else ()
        details = {
            "target": manifest.target,
            "precision": manifest.precision,
            "gate": manifest.gate.get("status"),
            "tools": dict(manifest.tools),
            "answering_digest": manifest.answering_digest,
            "calibrated_on": [one["sha256"] for one in fitted],
        }
        return Identity(self._location, manifest.name, manifest.digest, details)

    async def answer(self, ask: Ask) -> Outcome:
        """An image that cannot be read, or a question that is refused, is an outcome with an error."""
        began = time.perf_counter()
        try:
            rendering = await self._images.show(ask)
        except (ImagingError, OSError) as error:
            return Outcome(error=f"{Path(ask.image).name}: {error}", seconds=time.perf_counter() - began)
        try:
            parts = [{"type": "image"}, {"type": "text", "text": ask.item.question}]
            message = {"role": "user", "content": parts}
            deltas = await self._generate(Generation((message,), (rendering.pixels,), self._sampling))
        except EngineError as error:
            return Outcome(error=str(error), seconds=time.perf_counter() - began)
        return self._outcome(ask, joined(deltas), time.perf_counter() - began)

    async def close(self) -> None:
        """Ends the engine's loop."""
        await asyncio.to_thread(self._runtime.close)

    def _outcome(self, ask: Ask, answer: Delta, seconds: float) -> Outcome:
        calibration = self._runtime.manifest.confidence
        stated = judge(calibration, ask.item.question, answer.score, 0.0) if answer.score else None
        return Outcome(
            text=answer.text.strip(),
            logprob=math.fsum(answer.logprobs) if answer.logprobs else None,
            tokens=len(answer.token_ids),
            confidence=stated.confidence if stated else None,
            abstained=stated.abstained if stated else None,
            finish_reason=answer.finish_reason,
            seconds=seconds,
        )

    async def _generate(self, generation: Generation) -> list[Delta]:
        items: asyncio.Queue[Delta | EngineError] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        handle = self._runtime.submit(generation, lambda item: _pass_on(loop, items, item))
        deltas: list[Delta] = []
        try:
            while not (deltas and deltas[-1].finish_reason):
                item = await items.get()
                if isinstance(item, EngineError):
                    raise item
                deltas.append(item)
        except asyncio.CancelledError:
            handle.cancel()
            raise
        return deltas


def open_engine(folder: Path, location: str, max_tokens: int | None = None) -> EngineAnswerer:
    """Bring an engine folder up for judging, signed and gated or not. Raises ManifestError with the way out."""
    if not (folder / FILE_NAME).is_file() and (folder / "config.json").is_file():
        raise ManifestError(
            f"{folder} is a checkpoint without {FILE_NAME}, which says how it sees images and is asked. Make an engine "
            f"of it with: radserve engine build --checkpoint {folder} --target torch --out ENGINE"
        )
    return open_answerer(folder, read_manifest(folder), location, max_tokens)


def open_answerer(
    folder: Path, manifest: EngineManifest, location: str, max_tokens: int | None = None, **options: Any
) -> EngineAnswerer:
    """Of a folder that was checked, or is being built; `options` go to its runtime. Raises ManifestError."""
    runtime = load_runtime(folder, manifest, max_waiting=_MOST_WAITING, **options)
    return EngineAnswerer(runtime, location, max_tokens)


def _pass_on(
    loop: asyncio.AbstractEventLoop, items: "asyncio.Queue[Delta | EngineError]", item: Delta | EngineError
) -> None:
    if not loop.is_closed():  # after Ctrl-C a last delta may come late
        loop.call_soon_threadsafe(items.put_nowait, item)

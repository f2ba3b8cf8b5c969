"""The image of each question: its bytes, a blank in its place, or what an engine sees of it, rendered once."""

import asyncio
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path

import numpy as np

from radserve_engines.evaluation.asking import Ask
from radserve_imaging import ImagePolicy, Rendering, encode_png, render

MID_GREY = 128
_KEPT_BYTES = 1 << 29


@lru_cache(maxsize=64)
def blank_image(width: int, height: int) -> bytes:
    """A mid-grey PNG."""
    return encode_png(np.full((height, width, 3), MID_GREY, np.uint8))


def read_image(ask: Ask) -> bytes:
    """The bytes of the file, or of a blank image of its size. Raises OSError or ImagingError."""
    if ask.condition == "blank":
        return blank_image(*_size(ask.image))
    return Path(ask.image).read_bytes()


@lru_cache(maxsize=1 << 16)
def _size(image: str) -> tuple[int, int]:
    return render(Path(image).read_bytes(), ImagePolicy()).record.size_in


class RenderedImages:
    """Renders each image by one policy, once, off the event loop; the latest 512 MiB of pixels are kept."""

    def __init__(self, policy: ImagePolicy) -> None:
        self._policy = policy
        self._tasks: OrderedDict[str | tuple[int, int], asyncio.Task[Rendering]] = OrderedDict()
        self._most = max(_KEPT_BYTES // (3 * policy.width * policy.height), 1)

    async def show(self, ask: Ask) -> Rendering:
        """What the model sees. Raises OSError or ImagingError."""
        rendering = await self._once(ask.image, Path(ask.image))
        if ask.condition == "blank":
            size = rendering.record.size_in
            rendering = await self._once(size, blank_image(*size))
        return rendering

    async def _once(self, key: str | tuple[int, int], source: Path | bytes) -> Rendering:
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(asyncio.to_thread(self._render, source))
            if len(self._tasks) > self._most:
                self._tasks.popitem(last=False)
        self._tasks.move_to_end(key)
        return await asyncio.shield(self._tasks[key])

    def _render(self, source: Path | bytes) -> Rendering:
        return render(source if isinstance(source, bytes) else source.read_bytes(), self._policy)

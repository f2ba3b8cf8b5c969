"""From an image's bytes to what the model sees: the worker pool, and a memory of what it made."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_imaging import ImagePolicy, Reading
from radserve_server.errors import GatewayError, ImageRefused, TooLarge
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.worker_pool import WorkerPool

_RECORD_BYTES = 2048
Key = tuple[str, str, Reading]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Pixels, (H, W, 3) uint8, and the rendering record as JSON."""

    pixels: NDArray[np.uint8]
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """An image to render: its bytes and their id, how to read it, and the request's field it came in."""

    image_id: str
    data: bytes
    reading: Reading
    param: str


class Renderer:
    """Renders by a policy, and once only what is asked for again soon."""

    def __init__(self, pool: WorkerPool, cache: ExpiringCache[Key, Rendered], max_image_bytes: int) -> None:
        self._pool = pool
        self._cache = cache
        self._max_image_bytes = max_image_bytes

    async def render(self, source: Source, policy: ImagePolicy, policy_digest: str) -> Rendered:
        """What the model would see; raises ImageRefused or TooLarge naming the field and the tag."""
        key = (source.image_id, policy_digest, source.reading)
        known = self._cache.get(key)
        if known is not None:
            return known
        outcome, out = await self._work(source, policy, png=False)
        pixels = np.frombuffer(out, np.uint8).reshape(outcome["shape"])
        rendered = Rendered(pixels, outcome["record"])
        self._cache.put(key, rendered, len(out) + _RECORD_BYTES)
        return rendered

    async def render_png(self, source: Source, policy: ImagePolicy) -> tuple[bytes, dict[str, Any]]:
        """The same as a PNG file, with its record."""
        outcome, png = await self._work(source, policy, png=True)
        return png, outcome["record"]

    def forget(self, image_id: str) -> None:
        """Forget all renderings of an image."""
        self._cache.discard_where(lambda key: key[0] == image_id)

    def sweep(self) -> None:
        """Forget what is too old."""
        self._cache.sweep()

    async def _work(self, source: Source, policy: ImagePolicy, png: bool) -> tuple[dict[str, Any], bytes]:
        reading = source.reading
        job = {
            "policy": policy.to_json(),
            "frame": reading.frame,
            "window": None if reading.window is None else asdict(reading.window),
            "max_bytes": self._max_image_bytes,
            "png": png,
        }
        try:
            outcome, out = await self._pool.work(source.data, job)
        except ImageRefused as error:
            error.param = source.param
            raise
        if "error" in outcome:
            raise _refusal(outcome["error"], source.param)
        return outcome, out


def _refusal(error: dict[str, Any], param: str) -> GatewayError:
    """radserve_imaging's error as an HTTP one; the message already names the tag."""
    kind = TooLarge if error["code"] == "too_large" else ImageRefused
    return kind(error["message"], code=error["code"], param=param)

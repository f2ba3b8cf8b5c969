"""From the bytes of images to what the model sees: the worker pool, and a memory of what it made."""

import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_imaging import ImagePolicy, Plane, Reading, SliceChoice, StackPlan
from radserve_server.answer_store import Seen, list_seen
from radserve_server.errors import GatewayError, ImageRefused, TooLarge
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.image_times import NO_TIME, ImageTimes
from radserve_server.pacs.archive import InstanceAddress
from radserve_server.pacs.tally import Tally
from radserve_server.worker_pool import Done, WorkerPool

FETCHED = "dicom-"
"""What the id of a source begins with that lies in an archive."""

_RECORD_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Rendered:
    """Pixels, (H, W, 3) uint8, and the rendering record as JSON."""

    pixels: NDArray[np.uint8]
    record: dict[str, Any]


Key = tuple[str, str, Reading, str | None, Hashable]
Several = tuple[Rendered, ...]
Fetch = Callable[[], Awaitable[tuple[bytes, ...]]]


@dataclass(frozen=True, slots=True)
class Rendition:
    """What the model would see of a source, and where the time went."""

    images: Several
    times: ImageTimes


@dataclass(frozen=True, slots=True)
class Examination:
    """Where an upload lies in a series, or None, and where the time went."""

    plane: Plane | None
    times: ImageTimes


@dataclass(frozen=True, slots=True)
class Source:
    """What to render: an image (its id and bytes), or those files of a series that its `plan` needs.

    `param` is the request's field it came in, `state` the id of the presentation state in `reading`, `choice` the
    slices that the request wants. What lies in an archive is at `addresses`, and `fetch` gives the parts, which the
    question's `tally` counts.
    """

    id: str
    parts: tuple[bytes, ...]
    reading: Reading
    param: str
    state: str | None = None
    choice: SliceChoice | None = None
    plan: StackPlan | None = None
    addresses: tuple[InstanceAddress, ...] = ()
    fetch: Fetch | None = None
    tally: Tally | None = None


class Renderer:
    """Renders by a policy, and once only what is asked for again soon."""

    def __init__(self, pool: WorkerPool, cache: ExpiringCache[Key, Several], max_image_bytes: int) -> None:
        self._pool = pool
        self._cache = cache
        self._max_image_bytes = max_image_bytes
        self._forgotten = 0

    async def render(self, source: Source, policy: ImagePolicy, policy_digest: str) -> Rendition:
        """What the model would see; raises ImageRefused or TooLarge naming the field and the tag."""
        key = _key(source, policy_digest)
        known = self._cache.get(key)
        if known is not None:
            return Rendition(known, NO_TIME)
        began, forgotten = time.perf_counter(), self._forgotten
        if source.fetch is not None:
            source = replace(source, parts=await source.fetch(), fetch=None)
        fetch_s = time.perf_counter() - began
        done = await self._work(source, policy)
        rendered = _read(done)
        if forgotten == self._forgotten:  # else what was fetched may lie there no more
            self._keep(key, rendered)
        return Rendition(rendered, replace(done.times, fetch=fetch_s))

    async def examine(self, source: Source, policy: ImagePolicy, policy_digest: str) -> Examination:
        """Render an upload, and find where it lies in a series; nothing is shown of a presentation state."""
        done = await self._work(source, policy, examine=True)
        if done.outcome["images"]:
            self._keep(_key(source, policy_digest), _read(done))
        plane = done.outcome["plane"]
        return Examination(None if plane is None else Plane.from_json(plane), done.times)

    def forget(self, image_id: str) -> None:
        """Forget all renderings of an image or a series, or by a presentation state."""
        self._cache.discard_where(lambda key: image_id in (key[0], key[3]))

    def forget_fetched(self) -> None:
        """Forget all renderings of images that lie in archives."""
        self._forgotten += 1
        self._cache.discard_where(lambda key: key[0].startswith(FETCHED))

    def sweep(self) -> None:
        """Forget what is too old."""
        self._cache.sweep()

    def _keep(self, key: Key, rendered: Several) -> None:
        size = sum(image.pixels.nbytes + _RECORD_BYTES for image in rendered)
        self._cache.put(key, rendered, size)

    async def _work(self, source: Source, policy: ImagePolicy, *, examine: bool = False) -> Done:
        reading = source.reading
        state = () if reading.presentation_state is None else (reading.presentation_state,)
        job = {
            "policy": policy.to_json(),
            "frame": reading.frame,
            "window": None if reading.window is None else asdict(reading.window),
            "overlays": reading.overlays,
            "state": bool(state),
            "choice": source.choice and source.choice.to_json(),
            "plan": source.plan and source.plan.to_json(),
            "max_bytes": self._max_image_bytes,
            "examine": examine,
        }
        try:
            done = await self._pool.work((*source.parts, *state), job)
        except ImageRefused as error:
            error.param = source.param
            raise
        if "error" in done.outcome:
            raise _refusal(done.outcome["error"], source.param)
        return done


def list_all_seen(sources: Sequence[Source], images: Sequence[Several]) -> tuple[Seen, ...]:
    """What was seen of each source: an upload is never taken for the instance of the same UID in an archive."""
    return tuple(
        one
        for source, several in zip(sources, images, strict=True)
        for one in list_seen([image.record for image in several], source.addresses)
    )


def _key(source: Source, policy_digest: str) -> Key:
    reading = replace(source.reading, presentation_state=None)
    return source.id, policy_digest, reading, source.state, source.choice


def _read(done: Done) -> Several:
    return tuple(
        Rendered(np.frombuffer(pixels, np.uint8).reshape(image["shape"]), image["record"])
        for image, pixels in _cut(done.outcome, done.out)
    )


def _cut(outcome: dict[str, Any], out: bytes) -> list[tuple[dict[str, Any], bytes]]:
    pieces, start = [], 0
    for image in outcome["images"]:
        pieces.append((image, out[start : start + image["size"]]))
        start += image["size"]
    return pieces


def _refusal(error: dict[str, Any], param: str) -> GatewayError:
    """radserve_imaging's error as an HTTP one; the message already names the tag."""
    kind = TooLarge if error["code"] == "too_large" else ImageRefused
    return kind(error["message"], code=error["code"], param=param)

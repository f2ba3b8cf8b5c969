"""Series of uploaded images: which images make a stack, in which order. The images stay in the image store."""

import hashlib
import re
import time
from dataclasses import dataclass, replace

from radserve_imaging import Stack
from radserve_server.errors import NotFound, TooLarge
from radserve_server.expiring_cache import ExpiringCache

SERIES_SCHEME = "radserve://series/"
"""Before a series id, this is the URL of a series in an image part."""

_SERIES_ID = re.compile(r"series-[0-9a-f]{64}")
_PLANE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class StoredSeries:
    """A stack whose planes' `file` counts the image ids; `expires_at` in Unix seconds."""

    series_id: str
    stack: Stack
    image_ids: tuple[str, ...]
    expires_at: int

    def ordered_ids(self) -> list[str]:
        """The image ids in the order of the slices."""
        return [self.image_ids[plane.file] for plane in self.stack.planes]


class SeriesStore:
    """A series is found by its own caller only, as an image is."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._series: ExpiringCache[tuple[str, str], StoredSeries] = ExpiringCache(max_bytes, ttl_s)

    def put(self, owner: str, stack: Stack, image_ids: tuple[str, ...]) -> StoredSeries:
        """Keep a stack of some of the images; the same ones in the same order, with the same warnings, have one id."""
        own = tuple(image_ids[plane.file] for plane in stack.planes)
        planes = tuple(plane.of_file(number) for number, plane in enumerate(stack.planes))
        told = "\n".join((*own, *stack.warnings))
        series_id = f"series-{hashlib.sha256(told.encode()).hexdigest()}"
        stack = replace(stack, planes=planes)
        series = StoredSeries(series_id, stack, own, int(time.time() + self._ttl_s))
        if not self._series.put((owner, series_id), series, _PLANE_BYTES * len(stack.planes)):
            raise TooLarge("the series has too many slices", code="too_large", param="image_ids")
        return series

    def get(self, owner: str, series_id: str, param: str) -> StoredSeries:
        """Find a series; raises NotFound naming `param`."""
        series = self._series.get((owner, series_id)) if _SERIES_ID.fullmatch(series_id) else None
        if series is None:
            raise NotFound(
                "there is no such series: it was never made with this key, has expired, or lost an image that was "
                "deleted; make it with POST /v1/series",
                code="series_not_found",
                param=param,
            )
        return series

    def forget_image(self, owner: str, image_id: str) -> list[str]:
        """Forget the series that an image belongs to; their ids."""
        found = [
            key[1] for key, series in self._series.items() if key[0] == owner and image_id in series.image_ids
        ]
        for series_id in found:
            self._series.discard((owner, series_id))
        return found

    def sweep(self) -> None:
        """Forget what has expired."""
        self._series.sweep()

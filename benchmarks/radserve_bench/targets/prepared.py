"""What targets make of visits before the clock starts, and what the model sees of them."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from radserve_bench.errors import BenchError
from radserve_bench.visit import Visit
from radserve_imaging import ImagePolicy, ImagingError, render_object, render_series

T = TypeVar("T")
_Key = tuple[bool, tuple[str, ...]]


class Prepared(Generic[T]):
    """Keeps what was made for the last two calls of `make`."""

    def __init__(self) -> None:
        self._made: dict[_Key, T] = {}
        self._before: dict[_Key, T] = {}

    async def make(self, visits: Sequence[Visit], build: Callable[[Visit], T]) -> None:
        """Build, in a thread, what is not there yet. Raises what `build` raises."""
        made = await asyncio.to_thread(self._build, visits, build)
        self._made, self._before = made, self._made

    def of(self, visit: Visit) -> T:
        """Raises BenchError for a visit that nothing was made for."""
        key = _key(visit)
        for made in (self._made, self._before):
            if key in made:
                return made[key]
        raise BenchError(f"nothing was prepared for this visit: {visit.kind}")

    def _build(self, visits: Sequence[Visit], build: Callable[[Visit], T]) -> dict[_Key, T]:
        made: dict[_Key, T] = {}
        for visit in visits:
            key = _key(visit)
            if key not in made:
                made[key] = self._made[key] if key in self._made else build(visit)
        return made


def model_sees(visit: Visit, policy: ImagePolicy) -> tuple[NDArray[np.uint8], ...]:
    """Each (H, W, 3), as a gateway with this policy renders them. Raises BenchError for a file it cannot take."""
    try:
        if visit.stack:
            files = [file.data for file in visit.files]
            return tuple(item.pixels for item in render_series(files.__getitem__, len(files), policy))
        return tuple(item.pixels for file in visit.files for item in render_object(file.data, policy))
    except ImagingError as error:
        raise BenchError(f"{visit.kind}: {error}") from error


def _key(visit: Visit) -> _Key:
    return visit.stack, tuple(file.digest for file in visit.files)

"""From a DICOM reference in a request to what the renderer is to fetch and show."""

import asyncio
import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from radserve_imaging import (
    ImagePolicy,
    ImagingError,
    Reading,
    SliceChoice,
    Stack,
    StackPlan,
    plan_stack,
    sort_planes,
)
from radserve_server.disconnect import gather_or_cancel
from radserve_server.errors import GatewayError, ImageRefused, InvalidRequest
from radserve_server.pacs.archive import Archive, InstanceAddress, InstanceEntry, SeriesEntry
from radserve_server.pacs.tally import Tally, counting
from radserve_server.rendering import FETCHED, Source
from radserve_server.schemas import DicomReference

_MANY = 500  # take about 5 ms to sort
NO_IMAGES = frozenset(
    "ANN AU DOC ECG EPS FID HC HD KO M3D PLAN PR REG RESP RTDOSE RTPLAN RTRECORD RTSTRUCT RWV SEG SMR SR SRF "  # noqa: SIM905
    "STAIN TEXTUREMAP".split()
)
"""Modalities (PS3.3 C.7.3.1.1.1) whose objects are said about images, and are none to ask about."""


@dataclass(frozen=True, slots=True)
class Finder:
    """How a request wants what it names in an archive; `param` is its field, `state` the id of the presentation state
    in `reading`. What comes out of the archive is counted in `tally`.
    """

    policy: ImagePolicy
    reading: Reading
    state: str | None
    choice: SliceChoice | None
    param: str
    tally: Tally

    async def find(self, archive: Archive, reference: DicomReference) -> tuple[Source, ...]:
        """Found but not fetched: a source for each instance and frame, or those of a series. Raises GatewayError."""
        with counting(self.tally), _naming(self.param):
            if not reference.instances:
                return await self._find_series(archive, reference)
            addresses = await gather_or_cancel(
                *(_locate(archive, reference, instance) for instance in reference.instances)
            )
            return tuple(
                replace(self._source(archive, (address,), None), reading=replace(self.reading, frame=frame))
                for address in addresses
                for frame in reference.frames or (self.reading.frame,)
            )

    async def _find_series(self, archive: Archive, reference: DicomReference) -> tuple[Source, ...]:
        if self.reading.frame is not None:
            raise InvalidRequest("a series has slices, not frames: use slices", param="frame")
        warnings: tuple[str, ...] = ()
        series = reference.series
        if series is None:
            series, warnings = await _choose_series(archive, reference.study)
        entries = await archive.list_instances(reference.study, series)
        stack = await _largest_stack(entries)
        try:
            plan = plan_stack(stack, self.policy, self.choice)
        except ImagingError as error:
            raise ImageRefused(str(error), code=error.code, param="slices") from None
        if not self._counts(entries, plan):
            plan = replace(plan, counted=())
        plan = replace(plan, warnings=(*warnings, *plan.warnings))
        return tuple(
            self._source(archive, tuple(entries[file].address for file in part.files()), part)
            for part in self._split(plan)
        )

    def _counts(self, entries: Sequence[InstanceEntry], plan: StackPlan) -> bool:
        """Whether the windows of what is shown may depend on a count of the volume: else it is not fetched."""
        if self.reading.window is not None:
            return False
        shown = [entries[item.file] for item in plan.shown]
        by_policy = self.policy.mr_prefer == "policy" and shown[0].planes[0].modality == "MR"
        return by_policy or not all(entry.windowed for entry in shown)

    def _split(self, plan: StackPlan) -> list[StackPlan]:
        """Slices that are shown each on its own are a source each: the first is decoded while others still come."""
        together = self.policy.arrangement == "montage" and len(plan.shown) > 1
        if together or plan.counted or self.reading.presentation_state is not None:
            return [plan]
        return [replace(plan, shown=tuple(part)) for _, part in groupby(plan.shown, lambda item: item.file)]

    def _source(
        self, archive: Archive, addresses: tuple[InstanceAddress, ...], plan: StackPlan | None
    ) -> Source:
        return Source(
            _identify(addresses, plan),
            (),
            self.reading,
            self.param,
            self.state,
            self.choice,
            plan,
            addresses,
            partial(self._fetch, archive, addresses),
            self.tally,
        )

    async def _fetch(self, archive: Archive, addresses: Sequence[InstanceAddress]) -> tuple[bytes, ...]:
        with counting(self.tally), _naming(self.param):
            return tuple(await gather_or_cancel(*(archive.fetch(address) for address in addresses)))


async def _locate(archive: Archive, reference: DicomReference, instance: str) -> InstanceAddress:
    if reference.series is None:
        return await archive.find_instance(reference.study, instance)
    return InstanceAddress(archive.name, reference.study, reference.series, instance)


async def _choose_series(archive: Archive, study: str) -> tuple[str, tuple[str, ...]]:
    """The series with most images, and a warning unless it is the only one."""
    found = await archive.list_series(study)
    images = [entry for entry in found if (entry.modality or "").upper() not in NO_IMAGES]
    if not images:
        kinds = ", ".join(sorted({entry.modality or "?" for entry in found}))
        raise InvalidRequest(f"the study holds no images, only {kinds}", code="no_series")
    counts = await gather_or_cancel(*(_count(archive, study, entry) for entry in images))
    most = max(range(len(images)), key=lambda index: counts[index])
    chosen = images[most]
    if len(images) == 1:
        return chosen.series, ()
    which = f"the one with most images ({chosen.modality or 'no modality'}, {counts[most]})"
    return chosen.series, (
        f"the study has {len(images)} series of images, and no series was named: shown is {which}",
    )


async def _count(archive: Archive, study: str, entry: SeriesEntry) -> int:
    if entry.instances is not None:
        return entry.instances
    return len(await archive.list_instances(study, entry.series))


async def _largest_stack(entries: Sequence[InstanceEntry]) -> Stack:
    planes = [plane.of_file(number) for number, entry in enumerate(entries) for plane in entry.planes]
    found = await asyncio.to_thread(sort_planes, planes) if len(planes) > _MANY else sort_planes(planes)
    stacks = found.stacks
    if not stacks:
        raise InvalidRequest("the series holds no image", code="no_series")
    if len(stacks) == 1:
        return stacks[0]
    warning = f"the series holds {len(stacks)} stacks of slices; shown is the one with most"
    return replace(stacks[0], warnings=(*stacks[0].warnings, warning))


def _identify(addresses: Sequence[InstanceAddress], plan: StackPlan | None) -> str:
    """A name for the cache of renderings, out of which no UID can be read."""
    told = json.dumps([[address.to_json() for address in addresses], plan and plan.to_json()])
    return f"{FETCHED}{hashlib.sha256(told.encode()).hexdigest()}"


@contextmanager
def _naming(param: str) -> Iterator[None]:
    """An archive's errors name the request's field; several questions may wait for the same one, so it is copied."""
    try:
        yield
    except GatewayError as error:
        if error.param is not None:
            raise
        named = copy.copy(error)
        named.param = param
        raise named from None

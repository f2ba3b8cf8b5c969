"""From a DICOM reference in a request to what the renderer is to fetch and show."""

import asyncio
import hashlib
from collections.abc import Sequence

from radserve_imaging import ImagePolicy, Plane, Reading, SliceChoice, plan_stack, sort_planes
from radserve_server.errors import InvalidRequest
from radserve_server.pacs.archive import Archive, Archives, InstanceAddress
from radserve_server.rendering import FETCHED, Source
from radserve_server.schemas import DicomReference


async def find_sources(
    archives: Archives,
    reference: DicomReference,
    policy: ImagePolicy,
    reading: Reading,
    choice: SliceChoice | None,
    param: str,
) -> list[Source]:
    """What a reference names, found but not fetched: one source for each instance and frame, or one for a series."""
    archive = archives.get(reference.pacs, f"{param}.pacs")
    series = reference.series or await _largest_series(archive, reference.study)
    if not reference.instances:
        return [await _whole_series(archive, reference.study, series, policy, reading, choice, param)]
    addresses = [InstanceAddress(archive.name, reference.study, series, uid) for uid in reference.instances]
    return [
        Source(
            _identify([address]),
            (),
            Reading(frame, reading.window, reading.overlays, reading.presentation_state),
            param,
            choice=choice,
            addresses=(address,),
            fetch=lambda address=address: _fetch(archive, [address]),  # type: ignore[misc]
        )
        for address in addresses
        for frame in reference.frames or (reading.frame,)
    ]


async def _largest_series(archive: Archive, study: str) -> str:
    found = await archive.list_series(study)
    return max(found, key=lambda entry: entry.instances or 0).series


async def _whole_series(
    archive: Archive,
    study: str,
    series: str,
    policy: ImagePolicy,
    reading: Reading,
    choice: SliceChoice | None,
    param: str,
) -> Source:
    entries = await archive.list_instances(study, series)
    planes: list[Plane] = [
        plane.of_file(number) for number, entry in enumerate(entries) for plane in entry.planes
    ]
    found = sort_planes(planes)
    if not found.stacks:
        raise InvalidRequest("the series holds no image", code="no_series", param=param)
    plan = plan_stack(found.stacks[0], policy, choice)
    addresses = tuple(entries[file].address for file in plan.files())
    return Source(
        _identify(addresses),
        (),
        reading,
        param,
        choice=choice,
        plan=plan,
        addresses=addresses,
        fetch=lambda: _fetch(archive, addresses),
    )


async def _fetch(archive: Archive, addresses: Sequence[InstanceAddress]) -> tuple[bytes, ...]:
    return tuple(await asyncio.gather(*(archive.fetch(address) for address in addresses)))


def _identify(addresses: Sequence[InstanceAddress]) -> str:
    """A name for the cache of renderings, out of which no UID can be read."""
    told = "\n".join(f"{item.pacs}\t{item.study}\t{item.series}\t{item.instance}" for item in addresses)
    return f"{FETCHED}{hashlib.sha256(told.encode()).hexdigest()}"

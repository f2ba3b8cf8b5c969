"""An archive in memory: what was pushed here lies in one, and tests use it in place of a PACS."""

import asyncio
import io
from collections.abc import Sequence

import pydicom

from radserve_imaging import ImagingError, Limits, list_planes
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.pacs.archive import InstanceAddress, InstanceEntry, SeriesEntry, missing

_HEADER = [
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SOPClassUID",
    "Modality",
    "SeriesDescription",
]


class MemoryArchive:
    """Keeps at most `max_bytes`, each instance for `ttl_s`; the oldest make room."""

    def __init__(self, name: str, max_bytes: int = 2**30, ttl_s: float = 3600.0) -> None:
        self._name = name
        self._kept: ExpiringCache[InstanceAddress, tuple[bytes, InstanceEntry, SeriesEntry]] = ExpiringCache(
            max_bytes, ttl_s
        )

    @property
    def name(self) -> str:
        """As requests call it."""
        return self._name

    @property
    def url(self) -> str | None:
        """None."""
        return None

    async def list_series(self, study: str) -> Sequence[SeriesEntry]:
        """The series of a study; raises NotFound."""
        found: dict[str, list[SeriesEntry]] = {}
        for address, (_, _, series) in self._kept.items():
            if address.study == study:
                found.setdefault(address.series, []).append(series)
        if not found:
            raise missing("study", self._name)
        return [
            SeriesEntry(uid, entries[0].modality, entries[0].description, len(entries))
            for uid, entries in found.items()
        ]

    async def list_instances(self, study: str, series: str) -> Sequence[InstanceEntry]:
        """The instances of a series; raises NotFound."""
        found = [
            entry
            for address, (_, entry, _) in self._kept.items()
            if (address.study, address.series) == (study, series)
        ]
        if not found:
            raise missing("series", self._name)
        return found

    async def find_instance(self, study: str, instance: str) -> InstanceAddress:
        """The series is what the file says; raises NotFound."""
        for address, _ in self._kept.items():
            if (address.study, address.instance) == (study, instance):
                return address
        raise missing("instance", self._name)

    async def fetch(self, address: InstanceAddress) -> bytes:
        """The file as it came; raises NotFound."""
        kept = self._kept.get(address)
        if kept is None:
            raise missing("instance", self._name)
        return kept[0]

    async def store(self, instances: Sequence[bytes]) -> None:
        """Keep DICOM files; raises pydicom's errors for what is none."""
        for data in instances:
            self.put(data, *await asyncio.to_thread(read_entry, self._name, data))

    def put(self, data: bytes, entry: InstanceEntry, series: SeriesEntry) -> bool:
        """Keep one whose header was read; False if it alone is over the limit."""
        return self._kept.put(entry.address, (data, entry, series), len(data))

    def sweep(self) -> None:
        """Forget what is too old."""
        self._kept.sweep()

    async def close(self) -> None:
        """Nothing to let go of."""


def read_entry(pacs: str, data: bytes) -> tuple[InstanceEntry, SeriesEntry]:
    """What the header says; raises pydicom's errors."""
    header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=list(_HEADER))
    address = InstanceAddress(
        pacs, str(header.StudyInstanceUID), str(header.SeriesInstanceUID), str(header.SOPInstanceUID)
    )
    try:
        planes = tuple(plane for plane in list_planes(data, Limits()) if plane.rows and plane.columns)
    except ImagingError:
        planes = ()
    entry = InstanceEntry(address, str(header.SOPClassUID), planes)
    modality, description = header.get("Modality"), header.get("SeriesDescription")
    return entry, SeriesEntry(address.series, modality, description, None)

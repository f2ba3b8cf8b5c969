"""What the gateway wants of an archive, and the words for what lies in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from radserve_imaging import Plane
from radserve_server.errors import InvalidRequest, NotFound


@dataclass(frozen=True, slots=True)
class InstanceAddress:
    """Where a SOP instance lies: the archive's configured name, and its three UIDs."""

    pacs: str
    study: str
    series: str
    instance: str

    def to_json(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """A series of a study; `instances` is how many it has, None where the archive does not say."""

    series: str
    modality: str | None
    description: str | None
    instances: int | None


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """An instance of a series: its SOP class, and where its frames lie in the patient (none if it is no image).

    `windowed` says that it is known to bring a window of its own, (0028,1050) and (0028,1051).
    """

    address: InstanceAddress
    sop_class: str | None
    planes: tuple[Plane, ...]
    windowed: bool = False


class Archive(Protocol):
    """Finds, gives and takes instances. Raises NotFound (dicom_not_found) and ArchiveError."""

    @property
    def name(self) -> str:
        """As the configuration calls it."""

    @property
    def url(self) -> str | None:
        """Where its DICOMweb service is; None for one that others cannot reach by DICOMweb."""

    async def list_series(self, study: str) -> Sequence[SeriesEntry]:
        """The series of a study."""

    async def list_instances(self, study: str, series: str) -> Sequence[InstanceEntry]:
        """The instances of a series."""

    async def find_instance(self, study: str, instance: str) -> InstanceAddress:
        """In which series of a study an instance lies."""

    async def fetch(self, address: InstanceAddress) -> bytes:
        """An instance as a DICOM file, in the transfer syntax that the archive keeps it in."""

    async def store(self, instances: Sequence[bytes]) -> None:
        """Take DICOM files in, all or none told as done."""

    async def close(self) -> None:
        """Close the connections."""

    def sweep(self) -> None:
        """Forget what was kept too long."""


INTAKE = "intake"
"""The name of what was pushed here."""


@dataclass(frozen=True, slots=True)
class Archives:
    """The archives of the configuration by name, and perhaps what was pushed here under INTAKE."""

    by_name: Mapping[str, Archive]

    def get(self, name: str | None, param: str) -> Archive:
        """The archive of that name, or the only one configured; raises InvalidRequest naming the field."""
        if name is not None and name in self.by_name:
            return self.by_name[name]
        if not self.by_name:
            message = "no PACS is configured (RADSERVE_PACS_URL, RADSERVE_PACS_FILE): use POST /v1/images"
            raise InvalidRequest(message, code="unknown_pacs", param=param)
        known = ", ".join(self.by_name)
        if name is not None:
            message = f"there is no PACS {name[:100]!r}; known here: {known}"
            raise InvalidRequest(message, code="unknown_pacs", param=param)
        configured = [archive for key, archive in self.by_name.items() if key != INTAKE]
        found = configured or list(self.by_name.values())
        if len(found) != 1:
            message = f"say in pacs which PACS is meant; known here: {known}"
            raise InvalidRequest(message, code="unknown_pacs", param=param)
        return found[0]

    def sweep(self) -> None:
        """Forget what was kept too long."""
        for archive in self.by_name.values():
            archive.sweep()

    async def close(self) -> None:
        """Close all connections."""
        for archive in self.by_name.values():
            await archive.close()


def missing(what: str, pacs: str) -> NotFound:
    """An archive does not have something."""
    return NotFound(f"{pacs} has no such {what}", code="dicom_not_found")

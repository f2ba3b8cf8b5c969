"""A PACS over DICOMweb, PS3.18: QIDO-RS to find, WADO-RS to fetch, STOW-RS to store.

What a series holds is read from its metadata (10.4.1.1.2), not from a search: one request without pages, with every
attribute that tells slices apart, whether or not the archive heeds `includefield`.
"""

import asyncio
import json
from collections.abc import Sequence

from radserve_imaging import ImagingError, Limits, read_identity
from radserve_imaging.tags import MODALITY, SERIES_INSTANCE_UID, SOP_CLASS_UID, SOP_INSTANCE_UID
from radserve_server.aside import run_aside
from radserve_server.errors import ArchiveBroken, ArchiveError, GatewayError, InvalidRequest
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import InstanceAddress, InstanceEntry, SeriesEntry, missing
from radserve_server.pacs.dicom_json import (
    Attributes,
    describe_series,
    has_window,
    read_objects,
    read_planes,
    read_text,
)
from radserve_server.pacs.endpoint import Endpoint
from radserve_server.pacs.exchange import Answer, Ask, Exchange
from radserve_server.pacs.related import (
    PartTooLarge,
    RelatedError,
    RelatedReader,
    make_boundary,
    write_related,
)
from radserve_server.pacs.storing import check_stored
from radserve_server.pacs.tally import note_fetched, note_metadata
from radserve_server.uids import has_uid_form, is_uid

_DICOM, _JSON = "application/dicom", "application/dicom+json"
_AS_KEPT = f'multipart/related; type="{_DICOM}"; transfer-syntax=*'
_PAGE, _MOST_FOUND = 200, 10_000
_ENVELOPE = 2**16  # bytes of a message around its part
_HEADER = Limits(max_inflated_bytes=64 * 2**20, max_elements=200_000)


class DicomWebArchive:
    """Raises NotFound (dicom_not_found) and ArchiveError."""

    def __init__(self, endpoint: Endpoint, metrics: Metrics) -> None:
        self._endpoint = endpoint
        self._exchange = Exchange(endpoint, metrics)

    @property
    def name(self) -> str:
        """As the configuration calls it."""
        return self._endpoint.name

    @property
    def url(self) -> str | None:
        """As the configuration gives it."""
        return self._endpoint.url

    async def list_series(self, study: str) -> Sequence[SeriesEntry]:
        """The series of a study."""
        wanted = [("includefield", tag) for tag in ("SeriesDescription", "NumberOfSeriesRelatedInstances")]
        found = await self._search(f"{_path(study)}/series", "study", wanted)
        if not found:
            raise missing("study", self.name)
        return [
            SeriesEntry(
                self._uid(item, SERIES_INSTANCE_UID),
                read_text(item, MODALITY),
                *describe_series(item),
            )
            for item in found
        ]

    async def list_instances(self, study: str, series: str) -> Sequence[InstanceEntry]:
        """The instances of a series, in the archive's order."""
        ask = Ask(f"{_path(study, series)}/metadata", _JSON, "series")
        found, _ = await self._ask_json(ask)
        if not found:
            raise missing("series", self.name)
        return await asyncio.to_thread(self._entries, study, series, found)

    async def find_instance(self, study: str, instance: str) -> InstanceAddress:
        """In which series of a study an instance lies."""
        wanted = [("SOPInstanceUID", _check(instance))]
        for item in await self._search(f"{_path(study)}/instances", "instance", wanted):
            if read_text(item, SOP_INSTANCE_UID) == instance:  # some archives ignore what they cannot match
                return InstanceAddress(self.name, study, self._uid(item, SERIES_INSTANCE_UID), instance)
        raise missing("instance", self.name)

    async def fetch(self, address: InstanceAddress) -> bytes:
        """The file as the archive keeps it: whole, and the instance that was asked for."""
        ask = Ask(_path(address.study, address.series, address.instance), _AS_KEPT, "instance")
        async with self._exchange.ask(ask) as answer:
            data = await self._read_instance(answer)
        await asyncio.to_thread(self._check_identity, data, address)
        note_fetched(address, len(data))
        return data

    async def store(self, instances: Sequence[bytes]) -> None:
        """In one request; raises ArchiveError unless the archive says of each that it is stored."""
        boundary = make_boundary()
        kind = f'multipart/related; type="{_DICOM}"; boundary={boundary}'
        body = await run_aside(sum(map(len, instances)), write_related, instances, boundary)
        ask = Ask("studies", _JSON, "report", (), body, kind, statuses=(200, 202, 409))
        async with self._exchange.ask(ask) as answer:
            content = await answer.read(self._endpoint.max_metadata_bytes)
        check_stored(self.name, content, len(instances))

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    def sweep(self) -> None:
        """Nothing is kept here."""

    async def _read_instance(self, answer: Answer) -> bytes:
        most = self._endpoint.max_instance_bytes
        try:
            reader = RelatedReader(answer.headers.get("content-type", ""), most)
        except RelatedError:
            raise answer.wrong_type("multipart/related") from None
        try:
            parts = [part async for piece in answer.pieces(most + _ENVELOPE) for part in reader.feed(piece)]
            reader.finish()
        except PartTooLarge:
            raise answer.too_large(most) from None
        except RelatedError as error:
            message = f"the answer of {self.name} is not whole: {error}"
            raise ArchiveBroken(message, code="archive_cut_off") from None
        if not parts or parts[0].media_type != _DICOM:
            raise answer.wrong_type(_DICOM)
        return parts[0].data

    def _check_identity(self, data: bytes, address: InstanceAddress) -> None:
        try:
            found = read_identity(data, _HEADER)
        except ImagingError:
            raise ArchiveBroken(f"what {self.name} sent as an instance is no DICOM file") from None
        if (found.study, found.series, found.instance) != (address.study, address.series, address.instance):
            message = f"{self.name} sent another instance than the one that was asked for; it was not used"
            raise ArchiveBroken(message, code="archive_wrong_instance")

    async def _search(self, path: str, what: str, query: list[tuple[str, str]]) -> list[Attributes]:
        """All pages of a search: an archive may give fewer at a time than it is asked for (PS3.18 8.3.4.4)."""
        found: dict[str, Attributes] = {}  # an archive that ignores the offset gives the same again
        while len(found) < _MOST_FOUND:
            page, before = [("limit", str(_PAGE)), ("offset", str(len(found)))], len(found)
            items, more = await self._ask_json(Ask(path, _JSON, what, [*query, *page]))
            found |= {json.dumps(item): item for item in items}
            if len(found) == before or (len(items) < _PAGE and not more):
                return list(found.values())
        raise ArchiveError(f"{self.name} finds more than {_MOST_FOUND:,} things in this {what}")

    async def _ask_json(self, ask: Ask) -> tuple[list[Attributes], bool]:
        """The objects, and whether the archive says that there are more."""
        async with self._exchange.ask(ask) as answer:
            if answer.status == 204:
                return [], False
            if answer.media_type not in (_JSON, "application/json"):
                raise answer.wrong_type(_JSON)
            content = await answer.read(self._endpoint.max_metadata_bytes)
            more = answer.headers.get("warning", "").startswith("299")
        note_metadata(len(content))
        return await asyncio.to_thread(self._parse, content), more

    def _parse(self, content: bytes) -> list[Attributes]:
        try:
            return read_objects(content)
        except ValueError:
            raise self._unreadable() from None

    def _entries(self, study: str, series: str, found: list[Attributes]) -> tuple[InstanceEntry, ...]:
        return tuple(
            InstanceEntry(
                InstanceAddress(self.name, study, series, self._uid(item, SOP_INSTANCE_UID)),
                read_text(item, SOP_CLASS_UID),
                read_planes(item),
                has_window(item),
            )
            for item in found
        )

    def _uid(self, item: Attributes, tag: int) -> str:
        uid = read_text(item, tag)
        if uid is None or not has_uid_form(uid):
            raise self._unreadable()
        return uid

    def _unreadable(self) -> GatewayError:
        return ArchiveBroken(f"what {self.name} says of its images is not DICOM JSON (PS3.18 annex F)")


def _path(study: str, series: str | None = None, instance: str | None = None) -> str:
    levels = (("studies", study), ("series", series), ("instances", instance))
    return "/".join(f"{level}/{_check(uid)}" for level, uid in levels if uid is not None)


def _check(uid: str) -> str:
    """A UID goes into a path: nothing else may."""
    if not is_uid(uid):
        raise InvalidRequest("a UID has digits and dots only, 64 at most", code="invalid_uid")
    return uid

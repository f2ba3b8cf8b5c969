"""An archive whose instances are kept in memory for a while, and fetched once for all who ask at one time."""

from collections.abc import Sequence

from radserve_server.errors import NotFound
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.image_store import identify
from radserve_server.pacs.archive import Archive, InstanceAddress, InstanceEntry, SeriesEntry
from radserve_server.pacs.single_flight import SingleFlight

LISTING_S = 120.0
"""How long what a series holds is taken as known, in seconds: a study may still be arriving."""

_LISTING_BYTES = 64 * 2**20
_PLANE_BYTES = 1024
_ADDRESS_BYTES = 512


class InstanceCache:
    """Files by their digest, and where they were found; at most `max_bytes` in all, each for `ttl_s`."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self.max_bytes = max_bytes
        self._files: ExpiringCache[str, bytes] = ExpiringCache(max_bytes, ttl_s)
        self._digests: ExpiringCache[InstanceAddress, str] = ExpiringCache(max_bytes, ttl_s)

    def get(self, address: InstanceAddress) -> bytes | None:
        """What was found there, if it is still kept."""
        digest = self._digests.get(address)
        return None if digest is None else self._files.get(digest)

    async def put(self, address: InstanceAddress, data: bytes) -> None:
        """Keep a file; the same bytes under several addresses are kept once."""
        digest = await identify(data)
        if self._files.put(digest, data, len(data)):
            self._digests.put(address, digest, _ADDRESS_BYTES)

    def sweep(self) -> None:
        """Forget what is too old."""
        self._files.sweep()
        self._digests.sweep()


class CachedArchive:
    """In front of another archive; several may share one `cache`."""

    def __init__(self, archive: Archive, cache: InstanceCache) -> None:
        self._archive = archive
        self._cache = cache
        self._listings: ExpiringCache[tuple[str, str], Sequence[InstanceEntry]] = ExpiringCache(
            min(_LISTING_BYTES, cache.max_bytes), LISTING_S
        )
        self._fetches: SingleFlight[InstanceAddress, bytes] = SingleFlight()
        self._lookups: SingleFlight[tuple[str, str], Sequence[InstanceEntry]] = SingleFlight()

    @property
    def name(self) -> str:
        """The archive's own."""
        return self._archive.name

    @property
    def url(self) -> str | None:
        """The archive's own."""
        return self._archive.url

    async def list_series(self, study: str) -> Sequence[SeriesEntry]:
        """Asked for each time."""
        return await self._archive.list_series(study)

    async def find_instance(self, study: str, instance: str) -> InstanceAddress:
        """Asked for each time."""
        return await self._archive.find_instance(study, instance)

    async def list_instances(self, study: str, series: str) -> Sequence[InstanceEntry]:
        """Asked for if it is not known."""
        key = study, series
        known = self._listings.get(key)
        return known or await self._lookups.share(key, lambda: self._list(key))

    async def fetch(self, address: InstanceAddress) -> bytes:
        """Fetched if it is not here, nor on its way."""
        known = self._cache.get(address)
        return known or await self._fetches.share(address, lambda: self._fetch(address))

    async def store(self, instances: Sequence[bytes]) -> None:
        """Passed on; what a series holds may have changed."""
        try:
            await self._archive.store(instances)
        finally:
            self._listings.discard_where(lambda _: True)

    async def close(self) -> None:
        """The archive's connections."""
        await self._archive.close()

    def sweep(self) -> None:
        """Forget what is too old."""
        self._cache.sweep()
        self._listings.sweep()
        self._archive.sweep()

    async def _list(self, key: tuple[str, str]) -> Sequence[InstanceEntry]:
        found = await self._archive.list_instances(*key)
        planes = sum(len(entry.planes) for entry in found)
        self._listings.put(key, found, _PLANE_BYTES * (len(found) + planes))
        return found

    async def _fetch(self, address: InstanceAddress) -> bytes:
        try:
            data = await self._archive.fetch(address)
        except NotFound:
            self._listings.discard((address.study, address.series))  # it is out of date
            raise
        await self._cache.put(address, data)
        return data

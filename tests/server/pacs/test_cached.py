"""What was fetched is kept for a while, and fetched once for all who ask at one time."""

import asyncio

import pytest

from radserve_server.errors import ArchiveBroken, NotFound
from radserve_server.pacs.archive import InstanceAddress
from radserve_server.pacs.cached import CachedArchive, InstanceCache
from radserve_server.pacs.memory import MemoryArchive, read_entry
from radserve_server.pacs.single_flight import SingleFlight
from radserve_server.pacs.tally import Tally, counting, note_fetched


class Counting(MemoryArchive):
    """Gives when it is let, and counts."""

    def __init__(self):
        super().__init__("ward")
        self.fetched = self.listed = 0
        self.open = asyncio.Event()

    async def fetch(self, address):
        self.fetched += 1
        await self.open.wait()
        data = await super().fetch(address)
        note_fetched(address, len(data))
        return data

    async def list_instances(self, study, series):
        self.listed += 1
        return await super().list_instances(study, series)


@pytest.fixture
def address(ct):
    return read_entry("ward", ct)[0].address


@pytest.fixture
async def archive(ct):
    archive = Counting()
    await archive.store([ct])
    return archive


async def test_those_who_ask_at_one_time_share_one_fetch_and_one_question_counts_it(archive, address, ct):
    cached = CachedArchive(archive, InstanceCache(10**6, 60))
    tallies = [Tally() for _ in range(5)]
    asking = [asyncio.create_task(counted(cached, address, tally)) for tally in tallies]
    await asyncio.sleep(0)
    archive.open.set()
    assert await asyncio.gather(*asking) == [ct] * 5
    assert archive.fetched == 1
    assert sorted(tally.bytes for tally in tallies) == [0, 0, 0, 0, len(ct)]
    assert await cached.fetch(address) == ct
    assert archive.fetched == 1


async def counted(cached, address, tally):
    with counting(tally):
        return await cached.fetch(address)


async def test_one_who_leaves_takes_nothing_from_the_others(archive, address, ct):
    cached = CachedArchive(archive, InstanceCache(10**6, 60))
    first, second = (asyncio.create_task(cached.fetch(address)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    archive.open.set()
    assert await second == ct
    assert first.cancelled() and archive.fetched == 1


async def test_work_that_nobody_waits_for_is_cancelled():
    flights, ended = SingleFlight(), asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(flights.share("key", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_failure_is_all_waiters_own_and_is_not_kept():
    flights, calls = SingleFlight(), []

    async def work():
        calls.append(1)
        await asyncio.sleep(0)
        raise ArchiveBroken("broken")

    results = await asyncio.gather(*(flights.share("key", work) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, ArchiveBroken) for result in results)
    with pytest.raises(ArchiveBroken):
        await flights.share("key", work)
    assert len(calls) == 2


async def test_what_a_series_holds_is_asked_once_until_something_is_stored_or_missing(archive, address, ct):
    archive.open.set()
    cached = CachedArchive(archive, InstanceCache(10**6, 60))
    place = address.study, address.series
    for _ in range(2):
        await cached.list_instances(*place)
    assert archive.listed == 1
    await cached.store([ct])
    await cached.list_instances(*place)
    assert archive.listed == 2
    with pytest.raises(NotFound):
        await cached.fetch(InstanceAddress("ward", *place, "1.2.3"))
    await cached.list_instances(*place)
    assert archive.listed == 3


async def test_no_more_is_kept_than_the_limit_and_the_same_bytes_once():
    cache = InstanceCache(10_000, 60)
    addresses = [InstanceAddress("ward", "1", "2", str(number)) for number in range(4)]
    for address in addresses[:3]:
        await cache.put(address, b"a" * 6000)
    assert all(cache.get(address) for address in addresses[:3])
    await cache.put(addresses[3], b"b" * 6000)
    assert [cache.get(address) is None for address in addresses] == [True, True, True, False]

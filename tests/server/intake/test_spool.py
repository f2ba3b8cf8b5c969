"""What was pushed: how long it is kept, where it lies, and how it is found."""

import asyncio

import pytest

from radserve_imaging import Limits, list_planes
from radserve_server.errors import ArchiveError, InstanceRefused, NotFound
from radserve_server.intake.configuration import SpoolTable
from radserve_server.intake.instances import read_instance
from radserve_server.intake.spool import Spool


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def two(make_series):
    """Two instances of a study, as bytes."""
    return [file.read_bytes() for file in make_series(60)]


@pytest.fixture(params=["memory", "encrypted"])
def table(request, tmp_path):
    folder = {"folder": tmp_path / "spool"} if request.param == "encrypted" else {}
    return {"kind": request.param, **folder}


def put(spool, *files):
    for data in files:
        spool.put(read_instance(data, "CT1"), data)
    return read_instance(files[0], "CT1").address


async def test_what_is_put_in_is_found_and_comes_out_as_it_was(table, two):
    spool = Spool(SpoolTable.model_validate(table))
    spool.open()
    address = put(spool, *two)
    (series,) = await spool.list_series(address.study)
    assert (series.series, series.modality, series.instances) == (address.series, "CT", 2)
    entries = await spool.list_instances(address.study, address.series)
    assert [await spool.fetch(entry.address) for entry in entries] == two
    assert entries[1].planes == tuple(list_planes(two[1], Limits()))
    assert await spool.find_instance(address.study, address.instance) == address
    for missing in (
        spool.list_series("1.2"),
        spool.list_instances(address.study, "1.2"),
        spool.find_instance(address.study, "1.2"),
    ):
        with pytest.raises(NotFound):
            await missing
    await spool.close()


async def test_a_study_goes_as_a_whole_when_nothing_was_added_for_its_time(table, two):
    clock = Clock()
    spool = Spool(SpoolTable.model_validate({**table, "ttl_s": 60.0}), clock)
    spool.open()
    address = put(spool, two[0])
    clock.now += 59
    put(spool, two[1])
    clock.now += 59
    assert len(await spool.list_instances(address.study, address.series)) == 2
    clock.now += 1
    with pytest.raises(NotFound):
        await spool.fetch(address)
    spool.sweep()
    assert spool.bytes == 0
    await spool.close()


async def test_an_instance_that_changed_takes_the_place_of_the_old_one(table, two):
    spool = Spool(SpoolTable.model_validate(table))
    spool.open()
    address = put(spool, *two)
    changed = two[0].replace(b"CT1", b"XX1")
    assert spool.put(read_instance(two[0], "CT1"), two[0]) == "known"
    assert spool.put(read_instance(changed, "CT1"), changed) == "replaced"
    assert await spool.fetch(address) == changed
    assert spool.bytes == len(two[0]) + len(two[1])
    await spool.close()


async def test_a_full_spool_may_let_the_oldest_study_go_but_not_the_one_that_comes(table, make_series):
    old, new = ([file.read_bytes() for file in make_series(number)] for number in (62, 63))
    room = int(3.2 * len(old[0]))
    spool = Spool(SpoolTable.model_validate({**table, "bytes": room, "when_full": "drop_oldest"}))
    spool.open()
    gone, kept = put(spool, *old), put(spool, *new)
    assert spool.state(gone.study) is None
    assert len(spool.state(kept.study).instances) == 2
    assert spool.bytes == sum(map(len, new))
    with pytest.raises(InstanceRefused, match="full"):
        put(spool, new[0] + bytes(room))
    await spool.close()


async def test_on_the_disk_everything_is_encrypted_and_nothing_outlives_the_server(tmp_path, two):
    folder = tmp_path / "spool"
    table = SpoolTable.model_validate({"kind": "encrypted", "folder": folder})
    first = Spool(table)
    first.open()
    address = put(first, *two)
    files = list(folder.glob("*.sealed"))
    assert len(files) == 2
    written = b"".join(file.read_bytes() for file in files)
    assert b"DICM" not in written
    assert address.study.encode() not in written
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    with pytest.raises(ValueError, match="another server's"):
        Spool(table).open()
    for damage in (lambda sealed: bytes(len(sealed)), lambda sealed: sealed[:-1], lambda sealed: sealed[:5]):
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(ArchiveError, match="cannot be read back"):
            await first.fetch(address)
    await first.close()
    assert not list(folder.glob("*.sealed"))
    left = folder / "left-by-one-that-was-killed.sealed"
    left.write_bytes(b"old")
    second = Spool(table)
    second.open()
    assert not left.exists()
    await second.close()


async def test_a_file_that_cannot_be_removed_does_not_stop_the_others_from_going(tmp_path, two, caplog):
    clock = Clock()
    table = {"kind": "encrypted", "folder": tmp_path / "spool", "ttl_s": 60.0}
    spool = Spool(SpoolTable.model_validate(table), clock)
    spool.open()
    put(spool, *two)
    first, second = (tmp_path / "spool").glob("*.sealed")
    first.unlink()
    first.mkdir()
    clock.now += 61
    spool.sweep()
    assert spool.bytes == 0 and not second.exists()
    assert "could not be removed" in caplog.text
    first.rmdir()
    await spool.close()


async def test_store_takes_files_or_says_what_is_wrong(two):
    spool = Spool(SpoolTable.model_validate({"bytes": len(two[0]) + 1}))
    await spool.store(two[:1])
    with pytest.raises(ArchiveError, match="full"):
        await spool.store(two[1:])
    with pytest.raises(ArchiveError, match="not a DICOM file"):
        await spool.store([b"nonsense"])
    assert spool.bytes == len(two[0])


def test_pushes_from_several_threads_are_all_kept(make_series):
    files = [file.read_bytes() for file in make_series(61, 40)]
    spool = Spool(SpoolTable.model_validate({}))

    async def push():
        await asyncio.gather(*(asyncio.to_thread(put, spool, data) for data in files * 2))

    asyncio.run(push())
    address = read_instance(files[0], None).address
    state = spool.state(address.study)
    assert len(state.instances) == 40
    assert spool.bytes == sum(map(len, files))


@pytest.mark.parametrize("damage", [b"", b"DICM", b"\0" * 200, b"\0" * 128 + b"DICM" + b"\xff" * 100])
def test_what_is_no_instance_is_not_understood(damage):
    with pytest.raises(InstanceRefused) as refused:
        read_instance(damage, None)
    assert refused.value.status_code == 0xC000

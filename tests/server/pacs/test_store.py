"""What is stored, and how an archive that does not store it is understood."""

import json

import pytest
from pydicom.uid import generate_uid

from radserve_server.errors import ArchiveBroken, ArchiveError, ArchiveTimeout
from radserve_server.metrics import Metrics
from radserve_server.pacs.dicomweb import DicomWebArchive
from radserve_server.pacs.endpoint import Endpoint
from radserve_server.pacs.fake import FakeArchive, running_fake_archive
from radserve_server.pacs.storing import check_stored


@pytest.fixture(scope="module")
def empty():
    with running_fake_archive(FakeArchive()) as archive:
        yield archive


@pytest.fixture
async def ward(empty):
    archive = DicomWebArchive(Endpoint("ward", empty.url, idle_s=0.2), Metrics())
    yield archive
    empty.fail("none")
    await archive.close()


async def test_what_is_stored_is_there_as_it_was(ward, slice_of, name_of):
    files = [slice_of(generate_uid(), generate_uid(), place) for place in range(2)]
    await ward.store(files)
    for data in files:
        reference = name_of(data)
        (entry,) = await ward.list_instances(reference["study"], reference["series"])
        assert await ward.fetch(entry.address) == data


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ("garbage store", ArchiveError, "archive_not_stored"),
        ("401 store", ArchiveError, "archive_refused"),
        ("slow store", ArchiveTimeout, "archive_timeout"),
        ("closed_once store", ArchiveBroken, "archive_cut_off"),
    ],
)
async def test_what_is_not_stored_is_said_not_to_be(ward, empty, slice_of, fault, kind, code):
    """Nor is it sent twice: nobody knows whether it was stored before the connection broke."""
    empty.fail(fault)
    before = empty.requests["store"]
    with pytest.raises(kind) as caught:
        await ward.store([slice_of(generate_uid(), generate_uid(), 1)])
    assert caught.value.code == code
    assert empty.requests["store"] == before + 1


async def test_orthanc_says_why_it_stores_something_only_in_part(orthanc, slice_of):
    archive = DicomWebArchive(Endpoint("orthanc", orthanc.dicom_web), Metrics())
    try:
        with pytest.raises(ArchiveError) as caught:
            await archive.store([slice_of(generate_uid(), generate_uid(), 1), b"no DICOM" * 40])
        assert caught.value.code in ("archive_not_stored", "archive_failed")
    finally:
        await archive.close()


def answer(stored=0, failed=(), **more):
    items = [{"00081197": {"vr": "US", "Value": [reason]}} for reason in failed]
    told = {"00081199": {"vr": "SQ", "Value": [{}] * stored}, "00081198": {"vr": "SQ", "Value": items}}
    return json.dumps({**told, **more}).encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (answer(1, [0xA700]), "out of resources (A700)"),
        (answer(0, [0x0122, 0x0122]), "SOP class"),
        (answer(0, [0xC123]), "cannot understand the object (C123)"),
        (answer(1), "all of 2"),
        (b"", "all of 2"),
        (b"<html>", "not DICOM JSON"),
        (b'["a"]', "not DICOM JSON"),
    ],
)
def test_the_reasons_of_an_archive_are_told_in_words(content, told):
    with pytest.raises(ArchiveError) as caught:
        check_stored("ward", content, 2)
    assert told in caught.value.message


def test_a_whole_success_passes():
    check_stored("ward", answer(2), 2)


def test_what_was_stored_by_an_attempt_that_was_given_up_is_stored():
    """The archive was too slow to say so: it is asked again, and has an instance of this UID already."""
    check_stored("ward", answer(0, [0x0111]), 1)
    with pytest.raises(ArchiveError, match="1 of 2 instances: it is out of resources"):
        check_stored("ward", answer(0, [0x0111, 0xA700]), 2)

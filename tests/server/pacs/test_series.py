"""A study of 300 slices: what is fetched of it, what that costs, and that it is the slices that were meant."""

import asyncio
import hashlib

import pytest
from pydicom.uid import generate_uid

from radserve_server.fake import MANIFEST, FakeBackend
from radserve_server.metrics import Metrics
from radserve_server.pacs.dicomweb import DicomWebArchive
from radserve_server.pacs.endpoint import Endpoint
from radserve_server.pacs.fake import FakeArchive, running_fake_archive

MANY, COUNTED = 80, 64


@pytest.fixture(scope="module")
def archive(ct_study, mixed):
    with running_fake_archive(FakeArchive(mixed(ct_study))) as archive:
        yield archive


@pytest.fixture(scope="module")
def mixed():
    """In an order that has nothing to do with where the slices lie."""
    return lambda study: sorted(study.values(), key=lambda data: hashlib.sha256(data).digest())


@pytest.fixture(scope="module")
def gateway(start, archive):
    with start(FakeBackend(), pacs_url=archive.url) as gateway:
        yield gateway


def four(gateway, ask, reference, **more):
    answer = ask(gateway, reference, slices={"choose": "uniform", "count": 4}, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["clinical"]


def test_of_300_slices_only_the_chosen_are_fetched_and_their_bytes_are_told(
    gateway, archive, ct_study, ask, name_of
):
    """The archive's own count, the answer's and the files' sizes are the same number."""
    uids = list(ct_study)
    reference = name_of(ct_study[uids[0]], whole=True)
    clinical = four(gateway, ask, reference)
    expected = [uids[place] for place in (37, 112, 187, 262)]
    assert [seen["instance"] for seen in clinical["seen"]] == expected
    assert [record["slice"]["slice"] for record in clinical["images"]] == [38, 113, 188, 263]
    assert any("shown 4 of 300 slices" in warning for warning in clinical["warnings"])
    size = sum(len(ct_study[uid]) for uid in expected)
    told = clinical["archive"]
    assert (told["instances"], told["bytes"], told["cached"]) == (4, size, 0)
    assert (archive.requests["instance"], archive.bytes["instance"]) == (4, size)
    assert told["metadata_bytes"] == archive.bytes["metadata"] > 0
    timings = clinical["timings"]
    assert 0 < timings["fetch_ms"] < timings["ttft_ms"]
    assert timings["ttft_without_fetch_ms"] == pytest.approx(
        timings["ttft_ms"] - timings["fetch_ms"], abs=0.01
    )

    again = four(gateway, ask, reference, window="lung")
    assert again["archive"] == {"instances": 0, "bytes": 0, "metadata_bytes": 0, "cached": 4}
    assert archive.requests["metadata"] == 1


def test_the_same_slices_come_out_of_orthanc(start, orthanc, ct_study, mixed, ask, name_of):
    archive = DicomWebArchive(Endpoint("orthanc", orthanc.dicom_web), Metrics())
    asyncio.run(store(archive, mixed(ct_study)))
    uids = list(ct_study)
    with start(FakeBackend(), pacs_url=orthanc.dicom_web) as gateway:
        clinical = four(gateway, ask, name_of(ct_study[uids[0]], whole=True))
    expected = [uids[place] for place in (37, 112, 187, 262)]
    assert [seen["instance"] for seen in clinical["seen"]] == expected
    told = clinical["archive"]
    assert (told["instances"], told["bytes"]) == (4, sum(len(ct_study[uid]) for uid in expected))
    assert [image["source_sha256"] for image in clinical["images"]] == [
        hashlib.sha256(ct_study[uid]).hexdigest() for uid in expected
    ]


def test_orthanc_s_compressed_instance_is_taken_as_it_is(start, orthanc, pydicom_file, ask, name_of):
    """JPEG 2000 goes through as the file that was put in, to the last byte."""
    data = pydicom_file("693_J2KI.dcm")
    orthanc.upload(data)
    with start(FakeBackend(), pacs_url=orthanc.dicom_web) as gateway:
        (image,) = ask(gateway, name_of(data)).json()["clinical"]["images"]
    assert "JPEG 2000" in image["transfer_syntax"]["name"]
    assert image["source_sha256"] == hashlib.sha256(data).hexdigest()


async def store(archive, files):
    await archive.store(files)
    await archive.close()


def test_of_an_mr_without_windows_the_slices_that_make_its_percentiles_are_fetched_too(
    start, slice_of, ask, name_of
):
    """With windows of its own, or with one in the request, only the slice that is shown is fetched."""
    study, window = generate_uid(), {"WindowCenter": -500, "WindowWidth": 900}
    files = {
        series: [slice_of(study, series, place, mr=True, more=more) for place in range(count)]
        for series, more, count in ((generate_uid(), {}, MANY), (generate_uid(), window, 3))
    }
    bare, windowed = (several[0] for several in files.values())
    with (
        running_fake_archive(FakeArchive(file for several in files.values() for file in several)) as archive,
        start(FakeBackend(), pacs_url=archive.url) as gateway,
    ):
        own = ask(gateway, name_of(windowed, whole=True)).json()["clinical"]
        assert own["images"][0]["voi"]["source"] == "file window"
        assert own["archive"]["instances"] == archive.requests["instance"] == 1
        wished = ask(gateway, name_of(bare, whole=True), window={"center": 1, "width": 9}).json()["clinical"]
        assert wished["archive"]["instances"] == 1
        counted = ask(gateway, name_of(bare, whole=True)).json()["clinical"]
        assert counted["images"][0]["voi"]["source"] == "percentiles"
        told = counted["archive"]
        assert told["instances"] + told["cached"] in (COUNTED, COUNTED + 1)
        assert archive.requests["instance"] == 2 + told["instances"]
        assert archive.bytes["instance"] == len(windowed) + (1 + told["instances"]) * len(bare)


def test_slices_are_decoded_while_others_still_come(start, ct_study, ask, name_of):
    """The archive gives the last slice only after the others were rendered: else nobody would ever be answered."""
    uids = list(ct_study)[:4]
    archive = HoldsBack(uids[3], [ct_study[uid] for uid in uids])
    manifest = {**MANIFEST, "image_policy": {**MANIFEST["image_policy"], "slices": {"count": 4}}}
    with (
        running_fake_archive(archive),
        start(FakeBackend(manifest=manifest), pacs_url=archive.url) as gateway,
    ):
        archive.release_when = lambda: count(gateway.services.metrics.render_seconds) == 3
        answer = ask(gateway, name_of(ct_study[uids[0]], whole=True))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["clinical"]["images"]) == 4


def count(histogram):
    return next(
        sample.value
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    )


class HoldsBack(FakeArchive):
    """Gives one instance only when it is told to."""

    def __init__(self, instance, files):
        super().__init__(files)
        self._held = instance
        self.release_when = lambda: True

    async def _instance(self, request):
        while request.match_info["instance"] == self._held and not self.release_when():
            await asyncio.sleep(0.005)
        return await super()._instance(request)

"""What an archive does wrong is told as what it is, and the next question is answered."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from radserve_server.fake import FakeBackend
from radserve_server.metrics import Metrics
from radserve_server.pacs.archive import InstanceAddress
from radserve_server.pacs.dicomweb import DicomWebArchive
from radserve_server.pacs.endpoint import Endpoint

NOTHING_KEPT = {"pacs_cache_bytes": 1, "rendering_cache_bytes": 1}
FAULTS = {
    "slow": (504, "archive_timeout"),
    "slow_body": (504, "archive_timeout"),
    "404": (404, "dicom_not_found"),
    "401": (502, "archive_refused"),
    "500": (502, "archive_failed"),
    "reset": (502, "archive_cut_off"),
    "half": (502, "archive_cut_off"),
    "wrong_type": (502, "archive_wrong_type"),
    "wrong_instance": (502, "archive_wrong_instance"),
    "garbage": (502, "archive_broken"),
    "redirect": (502, "archive_redirected"),
}
OF_METADATA = {
    "slow": (504, "archive_timeout"),
    "404": (404, "dicom_not_found"),
    "401": (502, "archive_refused"),
    "reset": (502, "archive_cut_off"),
    "half": (502, "archive_broken"),
    "wrong_type": (502, "archive_wrong_type"),
    "garbage": (502, "archive_broken"),
}


@pytest.fixture(scope="module")
def gateway(start, ward, pacs_file):
    with start(FakeBackend(), pacs_file=pacs_file(ward.url), **NOTHING_KEPT) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def well_again(ward):
    yield
    ward.fail("none")


def check(failed, status, code, param):
    assert failed.status_code == status, failed.text
    error = failed.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert "ward" in error["message"] and len(error["message"]) < 140
    assert not any(word in error["message"] for word in ("127.0.0.1", "1.3.6", "http://", "Error"))


@pytest.mark.parametrize("route", ["vqa", "chat"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_archive_has_its_own_error_and_the_next_question_is_answered(
    gateway, ward, ask, name_of, ct, fault, route
):
    reference = name_of(ct)
    ward.fail(fault)
    param = "image_dicom.0" if route == "vqa" else "messages.0.content.0.image_dicom"
    check(ask(gateway, reference, route=route), *FAULTS[fault], param)
    ward.fail("none")
    assert ask(gateway, reference, route=route).status_code == 200


@pytest.mark.parametrize("fault", OF_METADATA)
def test_a_fault_while_a_series_is_looked_up_has_its_own_error(gateway, ward, ask, name_of, ct, fault):
    reference = name_of(ct, whole=True)
    ward.fail(f"{fault} metadata")
    check(ask(gateway, reference), *OF_METADATA[fault], "image_dicom.0")
    ward.fail("none")
    assert ask(gateway, reference).status_code == 200


async def test_a_connection_that_was_closed_before_any_answer_is_tried_again(ward, name_of, ct):
    """The fault ends with the first request, so only a second one can have succeeded."""
    ward.fail("closed_once")
    before = ward.requests["instance"]
    named = name_of(ct)
    archive = DicomWebArchive(Endpoint("ward", ward.url), Metrics())
    address = InstanceAddress("ward", named["study"], named["series"], named["instances"][0])
    assert await archive.fetch(address) == ct
    assert ward.requests["instance"] == before + 2
    await archive.close()


def test_those_who_wait_for_the_same_failure_are_told_their_own_field(gateway, ward, ask, name_of, ct):
    ward.fail("slow")
    before = ward.requests["instance"]
    routes = {"vqa": "image_dicom.0", "chat": "messages.0.content.0.image_dicom"}
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(ask, gateway, name_of(ct), route=route) for route in routes]
        told = [one.result().json()["error"]["param"] for one in asked]
    assert told == list(routes.values())
    assert ward.requests["instance"] == before + 1


def test_an_answer_broken_off_in_the_middle_is_not_asked_for_again(gateway, ward, ask, name_of, ct):
    ward.fail("reset")
    before = ward.requests["instance"]
    assert ask(gateway, name_of(ct)).status_code == 502
    assert ward.requests["instance"] == before + 1


def test_what_is_in_no_archive_is_not_found(gateway, ask, name_of, ct):
    known = name_of(ct)
    for wrong in ({"study": "1.2.3"}, {**known, "series": "1.2.3"}, {**known, "instances": ["1.2.3"]}):
        check(ask(gateway, wrong), 404, "dicom_not_found", "image_dicom.0")


def test_nothing_of_a_patient_is_in_logs_or_metrics(gateway, ward, ask, name_of, ct, caplog):
    """Whether it goes well or not; log lines there are, one for each question."""
    caplog.set_level("DEBUG")
    named = name_of(ct)
    for fault in ("none", "reset", "401", "wrong_instance"):
        ward.fail(fault)
        ask(gateway, named)
    told = caplog.text + gateway.http.get("/metrics").text
    assert "POST /v1/vqa 502" in told
    for uid in (named["study"], named["series"], *named["instances"]):
        assert uid not in told


def test_an_archive_that_is_not_there_is_said_to_be_out_of_reach(start, ask, name_of, ct, pacs_file):
    with start(FakeBackend(), pacs_file=pacs_file("http://127.0.0.1:9/dicom-web")) as gateway:
        check(ask(gateway, name_of(ct)), 502, "archive_unreachable", "image_dicom.0")
        counts = gateway.http.get("/metrics").text
        assert 'radserve_archive_requests_total{outcome="archive_unreachable",pacs="ward"} 1.0' in counts


def test_an_instance_over_the_limit_is_refused_before_it_is_read(start, ward, ask, name_of, ct, pacs_file):
    file = pacs_file(ward.url, f"max_instance_bytes = {len(ct) - 1}")
    with start(FakeBackend(), pacs_file=file) as gateway:
        check(ask(gateway, name_of(ct)), 502, "archive_too_large", "image_dicom.0")


def test_a_slow_archive_lets_go_when_the_client_does(gateway, ward, ask, name_of, ct):
    """Nobody waits for the fetch any more, so it is cancelled before the archive's patience or ours ends."""
    ward.fail("slow_body")
    with pytest.raises(Exception, match="timed out"):
        gateway.http.post("/v1/vqa", json={"question": "?", "image_dicom": name_of(ct)}, timeout=0.1)
    cancelled = 'radserve_archive_requests_total{outcome="cancelled",pacs="ward"}'
    gateway.until(lambda: cancelled in gateway.http.get("/metrics").text)

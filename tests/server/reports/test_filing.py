"""POST /v1/reports: where a report goes, and what is refused."""

import asyncio
import io
import threading

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from radserve_server.answer_store import SHARED
from radserve_server.auth import hash_key
from radserve_server.errors import ArchiveRefused
from radserve_server.fake import FakeBackend
from radserve_server.pacs.archive import Archives, InstanceAddress
from radserve_server.pacs.memory import MemoryArchive


def test_a_report_is_filed_beside_the_images_it_is_about(room, own_file):
    file = own_file(StudyInstanceUID=generate_uid())
    response = room.report(room.ask(file))
    assert response.status_code == 201, response.text
    told = response.json()
    sr = stored(room.ward, told)
    assert (told["stored_to"], told["already_filed"]) == ("ward", False)
    assert (sr.SOPInstanceUID, sr.SeriesInstanceUID) == (told["sop_instance_uid"], told["series"])
    assert told["study"] == pydicom.dcmread(io.BytesIO(file)).StudyInstanceUID
    assert told["sop_class"] == {"uid": sr.SOPClassUID, "name": sr.SOPClassUID.name}


def test_filing_the_same_answer_again_stores_nothing_and_names_the_same_report(room, own_file, monkeypatch):
    clinical = room.ask(own_file())
    first = room.report(clinical, comment="Agreed.")
    monkeypatch.setattr(MemoryArchive, "store", None)  # a call of it would fail
    again = room.report(clinical, comment="Agreed.")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == {**first.json(), "already_filed": True}


def test_two_clicks_at_once_are_one_report(room, own_file, monkeypatch):
    clinical, calls, keep = room.ask(own_file()), [], MemoryArchive.store

    async def store(self, instances):
        calls.append(len(instances))
        await asyncio.sleep(0.05)  # the time in which the other one comes
        await keep(self, instances)

    monkeypatch.setattr(MemoryArchive, "store", store)
    answers = []
    clicks = [threading.Thread(target=lambda: answers.append(room.report(clinical))) for _ in range(2)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert sorted(answer.status_code for answer in answers) == [200, 201]
    assert calls == [1]


def test_an_answer_is_not_filed_twice_with_different_words(room, own_file):
    clinical = room.ask(own_file())
    first = room.report(clinical, comment="Agreed.").json()
    again = room.report(clinical, comment="Not agreed.")
    error = again.json()["error"]
    assert (again.status_code, error["code"], error["param"]) == (409, "already_filed", "comment")
    assert first["sop_instance_uid"] in error["message"]


def test_the_same_report_may_go_to_another_archive(room, own_file):
    clinical = room.ask(own_file())
    first, second = room.report(clinical), room.report(clinical, pacs="research")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json()["stored_to"] == "research"
    assert first.json()["sop_instance_uid"] == second.json()["sop_instance_uid"]


def test_a_report_that_is_not_to_be_stored_is_made_all_the_same(room, own_file, monkeypatch):
    clinical = room.ask(own_file())
    monkeypatch.setattr(MemoryArchive, "store", None)
    response = room.report(clinical, store=False)
    assert (response.status_code, response.json()["stored_to"]) == (200, None)
    assert len(room.sr(clinical)) == response.json()["bytes"]


def test_the_report_on_an_upload_needs_an_archive_to_be_named(room, own_file):
    clinical = room.ask_uploaded(own_file())
    refused = room.report(clinical)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "pacs")
    assert room.report(clinical, pacs="ward").status_code == 201


def test_what_was_pushed_here_is_reported_on_to_another_archive(start, own_file):
    file = own_file()
    header = pydicom.dcmread(io.BytesIO(file))
    pushed, ward = MemoryArchive("intake"), MemoryArchive("ward")
    asyncio.run(pushed.store([file]))
    asked = {"question": "?", "image_dicom": [{"study": header.StudyInstanceUID, "pacs": "intake"}]}
    with start(FakeBackend(), archives=Archives({"intake": pushed, "ward": ward})) as gateway:
        answer = gateway.http.post("/v1/vqa", json=asked).json()["clinical"]["answer_id"]
        refused = [
            gateway.http.post("/v1/reports", json={"answer_id": answer, **more})
            for more in ({}, {"pacs": "intake"})
        ]
        filed = gateway.http.post("/v1/reports", json={"answer_id": answer, "pacs": "ward"})
    assert [(one.status_code, one.json()["error"]["param"]) for one in refused] == [(400, "pacs")] * 2
    assert (filed.status_code, filed.json()["stored_to"]) == (201, "ward")


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"pacs": "moon"}, 400, "pacs"),
        ({"kind": "pdf"}, 400, "kind"),
        ({"text": "All is well."}, 400, "text"),
        ({"confidence": 1.0}, 400, "confidence"),
        ({"answer_id": "answer-0"}, 404, "answer_id"),
        ({"comment": ""}, 400, "comment"),
    ],
)
def test_what_is_wrong_is_refused_by_name(room, own_file, more, status, param):
    """An answer cannot be forged: its words are no fields of the request."""
    response = room.report(room.ask(own_file()), **more)
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_images_of_two_patients_are_no_report(room, own_file):
    others = own_file(StudyInstanceUID=generate_uid(), PatientID="another")
    refused = room.report(room.ask(own_file(), others))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "several_patients")


def test_a_png_has_no_patient_to_report_on(room, png):
    refused = room.report(room.ask_uploaded(png, kind="image/png"), pacs="ward")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_dicom_image")


def test_a_png_beside_a_dicom_image_is_told_of(room, own_file, png):
    upload = room.gateway.http.post("/v1/images", content=png, headers={"content-type": "image/png"}).json()
    told = room.report(room.ask(own_file(), image_ids=[upload["image_id"]])).json()
    assert any("no DICOM" in warning for warning in told["warnings"])


def test_a_header_that_cannot_be_read_is_refused_though_the_image_could_be_shown(room, own_file):
    issuer = Dataset()
    issuer.LocalNamespaceEntityID = "four"
    file = own_file(IssuerOfAccessionNumberSequence=[issuer])
    duration = b"\x18\x00\x73\x90UN"  # a double, which four bytes are not
    response = room.report(room.ask(file.replace(b"\x40\x00\x31\x00UT", duration)))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "answer_id")


def test_an_image_that_is_gone_is_named_with_a_way_out(room, own_file):
    clinical = room.ask_uploaded(own_file())
    room.gateway.http.delete(f"/v1/images/{clinical['seen'][0]['image_id']}")
    gone = room.report(clinical, pacs="ward")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "image_not_found")
    assert "POST /v1/images" in gone.json()["error"]["message"]


def test_an_answer_is_filed_by_its_own_caller_only(start, own_file, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"one:{hash_key('a')}\ntwo:{hash_key('b')}\n")
    archive, file = MemoryArchive("ward"), own_file()
    asyncio.run(archive.store([file]))
    header = pydicom.dcmread(io.BytesIO(file))
    reference = {"study": header.StudyInstanceUID, "instances": [header.SOPInstanceUID]}
    reference["series"] = header.SeriesInstanceUID
    reference["pacs"] = "ward"
    with start(FakeBackend(), archives=Archives({"ward": archive}), api_keys_file=keys) as gateway:
        one, two = ({"authorization": f"Bearer {key}"} for key in "ab")
        asked = {"question": "?", "image_dicom": [reference]}
        answer = gateway.http.post("/v1/vqa", json=asked, headers=one).json()["clinical"]["answer_id"]
        foreign = gateway.http.post("/v1/reports", json={"answer_id": answer}, headers=two)
        judged = gateway.http.post("/v1/feedback", json={"answer_id": answer, "verdict": "up"}, headers=two)
        own = gateway.http.post("/v1/reports", json={"answer_id": answer}, headers=one)
        answers = gateway.services.answers
        answers.put(SHARED, answers.get("one", answer, "answer_id"))
        after = gateway.http.post("/v1/reports", json={"answer_id": answer}, headers=two)
    assert (foreign.status_code, judged.status_code, own.status_code) == (404, 404, 201)
    assert (after.status_code, after.json()["already_filed"]) == (200, True)  # of all, but filed already


def test_an_archive_that_refuses_is_told_of_and_filing_again_works(room, own_file, monkeypatch):
    clinical, keep = room.ask(own_file()), MemoryArchive.store

    async def refuse(self, instances):
        raise ArchiveRefused("ward does not take the gateway's credentials")

    monkeypatch.setattr(MemoryArchive, "store", refuse)
    refused = room.report(clinical)
    assert (refused.status_code, refused.json()["error"]["code"]) == (502, "archive_refused")
    monkeypatch.setattr(MemoryArchive, "store", keep)
    assert room.report(clinical).status_code == 201


def stored(archive, told):
    address = InstanceAddress(archive.name, told["study"], told["series"], told["sop_instance_uid"])
    return pydicom.dcmread(io.BytesIO(asyncio.run(archive.fetch(address))))

"""POST /v1/feedback and the audit file."""

import asyncio
import hashlib
import io
import json
import os
import stat
import threading

import pytest

from radserve_server.audit import AuditLog
from radserve_server.errors import AuditUnavailable, Conflict
from radserve_server.fake import FakeBackend


@pytest.fixture
def ask(ct):
    """Asks a gateway about an upload; gives the answer's id."""

    def question(gateway):
        upload = gateway.http.post("/v1/images", content=ct, headers={"content-type": "application/dicom"})
        asked = {"image_ids": [upload.json()["image_id"]], "question": "Is there a bleed?"}
        return gateway.http.post("/v1/vqa", json=asked).json()["clinical"]["answer_id"]

    return question


def test_feedback_is_on_the_disk_when_it_is_confirmed(start, ask, tmp_path):
    path = tmp_path / "audit.jsonl"
    with start(FakeBackend(), audit_file=path) as gateway:
        answer = ask(gateway)
        response = gateway.http.post(
            "/v1/feedback", json={"answer_id": answer, "verdict": "down", "comment": "Left.\nNot right."}
        )
        (event,) = [one for one in events(path) if one["event"] == "feedback"]
        unknown = gateway.http.post("/v1/feedback", json={"answer_id": "answer-0", "verdict": "up"})
        wrong = gateway.http.post("/v1/feedback", json={"answer_id": answer, "verdict": "perhaps"})
    assert response.status_code == 201, response.text
    assert response.json()["event_id"] == event["event_id"]
    assert (event["answer_id"], event["verdict"], event["comment"]) == (answer, "down", "Left.\nNot right.")
    assert event["engine_digest"] == f"sha256:{'0' * 64}"
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "answer_not_found")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "verdict")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_event_tells_digests_of_the_words_and_not_the_words(start, ask, tmp_path):
    path = tmp_path / "audit.jsonl"
    with start(FakeBackend(), audit_file=path) as gateway:
        gateway.http.post("/v1/feedback", json={"answer_id": ask(gateway), "verdict": "up"})
    text = path.read_text()
    assert "bleed" not in text
    assert "abnormality" not in text
    assert hashlib.sha256(b"Is there a bleed?").hexdigest() in text
    assert hashlib.sha256(b"No acute abnormality is seen.").hexdigest() in text


def test_every_answer_is_an_event_that_feedback_joins_to(start, ask, tmp_path):
    path = tmp_path / "audit.jsonl"
    with start(FakeBackend(), audit_file=path) as gateway:
        answer = ask(gateway)
        gateway.http.post("/v1/feedback", json={"answer_id": answer, "verdict": "up"})
    given, judged = events(path)
    assert (given["event"], judged["event"]) == ("answer", "feedback")
    assert given["answer_id"] == judged["answer_id"] == answer
    assert given["images"] == judged["images"]


def test_whoever_leaves_in_the_middle_of_an_answer_leaves_an_event(start, ct, tmp_path):
    path = tmp_path / "audit.jsonl"
    with start(FakeBackend(token_delay_s=0.2), audit_file=path) as gateway:
        upload = gateway.http.post("/v1/images", content=ct, headers={"content-type": "application/dicom"})
        asked = {"image_ids": [upload.json()["image_id"]], "question": "Is there a bleed?"}
        headers = {"accept": "text/event-stream"}
        with gateway.http.stream("POST", "/v1/vqa", json=asked, headers=headers) as answer:
            next(answer.iter_lines())
        gateway.until(lambda: path.read_text())
    (event,) = events(path)
    assert event["event"] == "answer_cut"
    assert event["images"] == [{"image_id": upload.json()["image_id"], "frame": 1}]
    assert event["question_sha256"] == hashlib.sha256(b"Is there a bleed?").hexdigest()


def test_who_looks_at_an_image_leaves_an_event(start, ct, tmp_path):
    path = tmp_path / "audit.jsonl"
    with start(FakeBackend(), audit_file=path) as gateway:
        shown = gateway.http.post("/v1/render", content=ct, headers={"content-type": "application/dicom"})
        assert shown.status_code == 200
    (event,) = events(path)
    digest = hashlib.sha256(ct).hexdigest()
    assert (event["event"], event["images"]) == ("render", [{"image_id": f"sha256-{digest}", "frame": 1}])


def test_without_an_audit_file_feedback_is_refused_and_not_pretended(gateway, ask):
    response = gateway.http.post("/v1/feedback", json={"answer_id": ask(gateway), "verdict": "up"})
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (409, "no_audit_file")
    assert "RADSERVE_AUDIT_FILE" in error["message"]


def test_an_audit_file_that_cannot_be_written_is_found_at_the_start(tmp_path):
    with pytest.raises(ValueError, match=r"audit_file .*missing"):
        AuditLog(tmp_path / "missing" / "audit.jsonl")


async def test_a_write_that_fails_is_told(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    log = AuditLog(folder / "audit.jsonl")
    folder.rename(tmp_path / "moved")
    with pytest.raises(AuditUnavailable):
        await log.record("feedback", "one")
    with pytest.raises(Conflict):
        await AuditLog(None).record("feedback", "one")


def test_events_of_many_writers_are_whole_lines(tmp_path):
    """Several logs append to one file, as several servers do."""
    path = tmp_path / "audit.jsonl"
    logs = [AuditLog(path) for _ in range(3)]
    writers = [
        threading.Thread(
            target=lambda log=log: [log.note("answer", "one", text="é" * 3000) for _ in range(5)]
        )
        for log in logs
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    for log in logs:
        log.close()
    assert [event["text"] for event in events(path)] == ["é" * 3000] * 15


async def test_writing_does_not_hold_up_the_event_loop(tmp_path, monkeypatch):
    written, may_go_on = [], threading.Event()

    def wait(descriptor):
        assert may_go_on.wait(5)
        written.append(descriptor)

    log = AuditLog(tmp_path / "audit.jsonl")
    monkeypatch.setattr(os, "fsync", wait)
    writing = asyncio.ensure_future(log.record("feedback", "one"))
    for _ in range(3):
        await asyncio.sleep(0)  # the loop goes on while the disk is slow
    assert not written
    assert not writing.done()
    may_go_on.set()
    assert (await writing)["event"] == "feedback"
    assert len(written) == 1
    log.close()


def events(path):
    return [json.loads(line) for line in io.StringIO(path.read_text())]

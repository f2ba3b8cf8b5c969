"""The life of a work item that another system performs, by plain HTTP."""

import asyncio
import json
import re
import threading

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from radserve_server.auth import hash_key
from radserve_server.errors import Overloaded, TooLarge
from radserve_server.fake import FakeBackend
from radserve_server.settings import Settings
from radserve_server.worklist.workitem import State
from radserve_server.worklist.worklist import Worklist

ROOT = "/dicom-web/workitems"


@pytest.fixture
def uid(worklist, item, elsewhere):
    """A scheduled item for somebody else."""
    return worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))


@pytest.fixture
def claimed(worklist, uid):
    """Claimed with the Transaction UID 1.2.99."""
    assert worklist.move(uid, "IN PROGRESS").status_code == 200
    return uid


def performed(station, *, whole=True):
    done = Dataset()
    done.PerformedStationNameCodeSequence = [station]
    done.PerformedWorkitemCodeSequence = [station]
    done.PerformedProcedureStepStartDateTime = "20260101080000+0000"
    done.OutputInformationSequence = []
    if whole:
        done.PerformedProcedureStepEndDateTime = "20260101080100+0000"
    return [done]


def progress(**values):
    told = Dataset()
    for keyword, value in values.items():
        setattr(told, keyword, value)
    return [told]


def test_from_creation_to_completion(worklist, item, elsewhere, attributes):
    mine = generate_uid()
    created = worklist.create(item(ScheduledStationNameCodeSequence=[elsewhere]), f"?{mine}")
    assert created.status_code == 201
    assert created.headers["location"] == str(worklist.http.base_url.join(f"{ROOT}/{mine}"))
    (found,) = worklist.search(SOPInstanceUID=mine, ProcedureStepState="SCHEDULED")
    assert found.ProcedureStepLabel == "Questions on a head CT"
    kept = worklist.retrieve(mine)
    assert (kept.SOPClassUID, kept.WorklistLabel) == ("1.2.840.10008.5.1.4.34.6.1", "radserve")
    assert kept.PatientName == "Doe^Jane"

    assert worklist.move(mine, "IN PROGRESS").status_code == 200
    told = attributes(ProcedureStepProgressInformationSequence=progress(ProcedureStepProgress="50"))
    assert worklist.update(mine, told, "?1.2.99").status_code == 200
    assert worklist.retrieve(mine).ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 50
    results = attributes(UnifiedProcedureStepPerformedProcedureSequence=performed(elsewhere))
    assert worklist.update(mine, results, "?transaction=1.2.99").status_code == 200
    assert worklist.move(mine, "COMPLETED").status_code == 200
    done = worklist.retrieve(mine)
    assert done.ProcedureStepState == "COMPLETED"
    assert len(done.UnifiedProcedureStepPerformedProcedureSequence) == 1
    again = worklist.move(mine, "COMPLETED")
    assert again.status_code == 200
    assert again.headers["warning"] == "299 radserve: The UPS is already in the requested state of COMPLETED."


def test_the_transaction_uid_is_shown_to_nobody(worklist, claimed):
    answers = [
        worklist.http.get(f"{ROOT}/{claimed}").text,
        worklist.http.get(ROOT, params={"SOPInstanceUID": claimed, "includefield": "all"}).text,
        worklist.move(claimed, "COMPLETED", "1.2.4").text,
    ]
    assert not any("00081195" in text or "1.2.99" in text for text in answers)
    assert worklist.http.get(ROOT, params={"TransactionUID": "1.2.99"}).status_code == 400


def test_only_its_owner_changes_a_claimed_item(worklist, claimed, attributes):
    changes = attributes(ProcedureStepLabel="Changed")
    for query, warning in (("", "is missing."), ("?1.2.4", "is incorrect.")):
        refused = worklist.update(claimed, changes, query)
        assert refused.status_code == 400
        assert refused.headers["warning"] == f"299 radserve: The Transaction UID {warning}"
        moved = worklist.move(claimed, "CANCELED", "1.2.4" if query else None)
        assert moved.status_code == 409
        assert moved.headers["warning"] == f"299 radserve: The Transaction UID {warning}"
    assert worklist.retrieve(claimed).ProcedureStepLabel != "Changed"
    assert worklist.state(claimed) == "IN PROGRESS"


def test_an_item_is_claimed_once(worklist, claimed, attributes):
    second = worklist.move(claimed, "IN PROGRESS", "1.2.4")
    assert second.status_code == 409
    assert "inconsistent with the state" in second.headers["warning"]
    update = worklist.update(claimed, attributes(ProcedureStepLabel="Mine"), "?1.2.99")
    assert update.status_code == 200, "the first claim no longer holds"


def test_nothing_is_changed_or_completed_before_it_is_claimed(worklist, uid, attributes):
    early = worklist.move(uid, "COMPLETED")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "wrong_state")
    foreign = worklist.update(uid, attributes(ProcedureStepLabel="Mine"), "?1.2.99")
    assert foreign.status_code == 400
    assert foreign.headers["warning"].endswith("The target URI did not reference a claimed Workitem.")
    assert worklist.update(uid, attributes(ProcedureStepLabel="Corrected")).status_code == 200
    assert worklist.retrieve(uid).ProcedureStepLabel == "Corrected"


def test_an_ended_item_changes_no_more(worklist, uid, attributes):
    assert worklist.cancel(uid).status_code == 202
    late = worklist.update(uid, attributes(ProcedureStepLabel="Late"))
    assert (late.status_code, late.json()["error"]["code"]) == (400, "final_state")
    assert worklist.move(uid, "IN PROGRESS").status_code == 409


def test_the_final_state_needs_what_the_standard_requires(worklist, claimed, elsewhere, attributes):
    bare = worklist.move(claimed, "COMPLETED")
    assert bare.status_code == 409
    for tag in ("(0040,4028)", "(0040,4050)", "(0040,4019)", "(0040,4051)", "(0040,4033)"):
        assert tag in bare.json()["error"]["message"]
    half = attributes(UnifiedProcedureStepPerformedProcedureSequence=performed(elsewhere, whole=False))
    assert worklist.update(claimed, half, "?1.2.99").status_code == 200
    missing = worklist.move(claimed, "COMPLETED").json()["error"]["message"]
    assert "(0040,4051)" in missing and "(0040,4050)" not in missing

    assert "(0074,100E)" in worklist.move(claimed, "CANCELED").json()["error"]["message"]
    reason = progress(ProcedureStepDiscontinuationReasonCodeSequence=[elsewhere])
    told = attributes(ProcedureStepProgressInformationSequence=reason)
    assert worklist.update(claimed, told, "?1.2.99").status_code == 200
    assert worklist.move(claimed, "CANCELED").status_code == 200
    ended = worklist.retrieve(claimed).ProcedureStepProgressInformationSequence[0]
    assert re.fullmatch(r"\d{14}\.\d{3}\+0000", ended.ProcedureStepCancellationDateTime)


async def test_what_is_completed_twice_at_one_time_is_completed_once(item, elsewhere):
    """A client that hears nothing asks again."""
    worklist = Worklist(Settings())
    told = Dataset.from_json(item(ScheduledStationNameCodeSequence=[elsewhere]))
    uid = (await worklist.create("", None, told, lambda item: item)).uid
    await worklist.change_state(uid, State.IN_PROGRESS, "1.2.99")
    done = Dataset()
    done.UnifiedProcedureStepPerformedProcedureSequence = performed(elsewhere)
    await worklist.update(uid, "1.2.99", done)
    completing = [worklist.change_state(uid, State.COMPLETED, "1.2.99") for _ in range(2)]
    first, second = await asyncio.gather(*completing)
    assert first is None and "already in the requested state" in second


async def test_the_worklist_keeps_so_many_bytes_and_what_ended_first_makes_room(
    item, elsewhere, attributes, monkeypatch
):
    text, limits = "x" * 10_000, {"_MAX_ITEM_BYTES": 20_000, "_MAX_BYTES": 45_000}
    for name, value in limits.items():
        monkeypatch.setattr(f"radserve_server.worklist.worklist.{name}", value)
    worklist = Worklist(Settings())

    async def create(**more):
        told = item(ScheduledStationNameCodeSequence=[elsewhere], **more)
        return (await worklist.create("", None, Dataset.from_json(told), lambda item: item)).uid

    uids = [await create(CommentsOnTheScheduledProcedureStep=text) for _ in range(3)]
    with pytest.raises(Overloaded):
        await create(CommentsOnTheScheduledProcedureStep=text)
    with pytest.raises(TooLarge):
        await worklist.update(
            uids[0], None, Dataset.from_json(attributes(WorklistLabel="a", TextString=2 * text))
        )
    await worklist.cancel(uids[1], Dataset())
    await worklist.change_state(uids[2], State.IN_PROGRESS, "1.2.99")
    last = await create(CommentsOnTheScheduledProcedureStep=text)
    assert [kept.uid for kept in worklist] == [uids[0], uids[2], last]


async def test_a_change_whose_client_leaves_is_made_whole(item, elsewhere, tmp_path, monkeypatch):
    """File and memory say the same."""
    worklist = Worklist(Settings(worklist_file=tmp_path / "worklist.sqlite"))
    told = Dataset.from_json(item(ScheduledStationNameCodeSequence=[elsewhere]))
    save, saving, may_go_on = worklist._file.save, threading.Event(), threading.Event()

    def save_slowly(kept):
        saving.set()
        assert may_go_on.wait(5)
        save(kept)

    monkeypatch.setattr(worklist._file, "save", save_slowly)
    creating = asyncio.create_task(worklist.create("", "1.2.96", told, lambda item: item))
    await asyncio.to_thread(saving.wait, 5)
    creating.cancel()
    await asyncio.wait({creating})
    may_go_on.set()
    await worklist.sweep()  # which waits for what is being changed
    assert [kept.uid for kept in worklist] == [kept.uid for kept in worklist._file.load()] == ["1.2.96"]
    await worklist.close()


def test_a_waiting_item_is_canceled_at_once_and_with_the_reason_given(worklist, uid, attributes):
    answer = worklist.cancel(uid, attributes(ReasonForCancellation="The study was repeated"))
    assert answer.status_code == 202
    kept = worklist.retrieve(uid)
    (why,) = kept.ProcedureStepProgressInformationSequence
    assert (kept.ProcedureStepState, why.ReasonForCancellation) == ("CANCELED", "The study was repeated")
    assert why.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"
    again = worklist.cancel(uid)
    assert again.status_code == 202
    assert again.headers["warning"] == "299 radserve: The UPS is already in the requested state of CANCELED."


def test_a_performer_elsewhere_cannot_be_told_to_cancel(worklist, claimed):
    refused = worklist.cancel(claimed)
    assert refused.status_code == 409
    assert refused.headers["warning"] == "299 radserve: The performer cannot be contacted."
    assert worklist.state(claimed) == "IN PROGRESS"


def test_what_is_not_there_or_not_offered(worklist, uid, item):
    assert worklist.http.get(f"{ROOT}/1.2.3.4").status_code == 404
    assert worklist.move("1.2.3.4", "IN PROGRESS").status_code == 404
    assert worklist.cancel("1.2.3.4").status_code == 404
    assert worklist.http.get(f"{ROOT}/nothing").status_code == 400
    assert worklist.create(item(), f"?workitem={uid}").status_code == 409
    subscription = worklist.http.post(f"{ROOT}/{uid}/subscribers/ME")
    assert (subscription.status_code, subscription.json()["error"]["code"]) == (501, "not_offered")


def test_xml_is_refused_by_name(worklist, uid):
    xml = 'multipart/related; type="application/dicom+xml"'
    answer = worklist.http.get(f"{ROOT}/{uid}", headers={"accept": xml})
    assert answer.status_code == 406 and "XML" in answer.json()["error"]["message"]
    answer = worklist.http.post(
        ROOT, content=b"<NativeDicomModel/>", headers={"content-type": "application/dicom+xml"}
    )
    assert answer.status_code == 415 and "XML" in answer.json()["error"]["message"]


def test_a_worklist_needs_a_key_and_notes_who_did_what(start, tmp_path, speak, item, elsewhere):
    keys, audit = tmp_path / "keys", tmp_path / "audit"
    keys.write_text(f"reader:{hash_key('secret')}\n")
    with start(FakeBackend(), api_keys_file=keys, audit_file=audit) as gateway:
        for method, path in (
            ("GET", ROOT),
            ("POST", ROOT),
            ("GET", f"{ROOT}/1.2"),
            ("POST", f"{ROOT}/1.2"),
            ("PUT", f"{ROOT}/1.2/state"),
            ("POST", f"{ROOT}/1.2/cancelrequest"),
            ("POST", f"{ROOT}/1.2/subscribers/ME"),
        ):
            assert gateway.http.request(method, path).status_code == 401, path
        gateway.http.headers["authorization"] = "Bearer secret"
        worklist = speak(gateway.http)
        uid = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
        worklist.cancel(uid)
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    told = [(event["caller"], event["action"], event["state"], event["workitem"]) for event in events]
    assert told == [("reader", "create", "SCHEDULED", uid), ("reader", "cancel_request", "CANCELED", uid)]

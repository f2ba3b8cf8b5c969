"""Data sets that are no work item: each is refused, and the answer names the tag."""

import json

import pytest
from pydicom import Dataset

ROOT = "/dicom-web/workitems"
DICOM_JSON = {"content-type": "application/dicom+json"}


@pytest.mark.parametrize(
    ("keyword", "value", "tag"),
    [
        ("ProcedureStepLabel", None, "(0074,1204)"),
        ("InputReadinessState", None, "(0040,4041)"),
        ("WorklistLabel", None, "(0074,1202)"),
        ("PatientID", None, "(0010,0020)"),
        ("ScheduledWorkitemCodeSequence", None, "(0040,4018)"),
        ("ScheduledProcedureStepPriority", "STAT", "(0074,1200)"),
        ("InputReadinessState", "YES", "(0040,4041)"),
        ("ScheduledProcedureStepStartDateTime", "20260231", "(0040,4005)"),
        ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2", "(0008,0016)"),
        ("TransactionUID", "1.2.3", "(0008,1195)"),
        ("ScheduledStationNameCodeSequence", [Dataset()], "(0040,4025)"),
        ("InputInformationSequence", [Dataset()], "(0040,E020)"),
    ],
)
def test_an_attribute_that_the_standard_wants_otherwise_is_named(worklist, item, keyword, value, tag):
    answer = worklist.create(item(**{keyword: value}))
    assert answer.status_code == 400
    assert tag in answer.json()["error"]["message"]


def test_all_that_is_missing_is_named_at_once(worklist, attributes):
    message = worklist.create(attributes(PatientID="1")).json()["error"]["message"]
    assert "(0074,1204)" in message and "(0040,A370)" in message and "(0010,0020)" not in message


def test_a_new_item_is_scheduled(worklist, item):
    answer = worklist.create(item(ProcedureStepState="IN PROGRESS"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ProcedureStepState")


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (
            {"00741204": {"vr": "LO", "Value": "text"}},
            "the Value of Procedure Step Label (0074,1204) is no array",
        ),
        ({"00741204": {"vr": "SH", "Value": ["text"]}}, "(0074,1204) has vr SH; it is LO"),
        ({"00741204": {"vr": "LO", "Value": ["x" * 65]}}, "(0074,1204) has a value that is no valid LO"),
        ({"00741204": {"vr": "LO", "Value": ["a", "b"]}}, "(0074,1204) has 2 values; it takes one"),
        ({"00741204": {"vr": "LO", "Value": [1]}}, "(0074,1204) has a value that is no valid LO"),
        ({"00741204": "text"}, "(0074,1204) is no object with vr and Value"),
        ({"00741204": {"Value": ["text"]}}, "(0074,1204) is no object with vr and Value"),
        ({"00404005": {"vr": "DT", "Value": ["soon"]}}, "(0040,4005) has a value that is no valid DT"),
        ({"0020000D": {"vr": "UI", "Value": ["study"]}}, "(0020,000D) has a value that is no valid UI"),
        ({"00100010": {"vr": "PN", "Value": ["Doe^Jane"]}}, "(0010,0010) has a value that is no valid PN"),
        ({"00404021": {"vr": "SQ", "Value": ["x"]}}, "an item of Input Information Sequence (0040,4021)"),
        ({"00091001": {"vr": "OB", "InlineBinary": "AAAA"}}, "(0009,1001) is binary"),
        ({"00091001": {"vr": "XX", "Value": [1]}}, "(0009,1001) has vr 'XX'"),
        ({"00020010": {"vr": "UI", "Value": ["1.2"]}}, "(0002,0010) is of a command or a file's header"),
        ({"label": {"vr": "LO"}}, "eight hexadecimal digits"),
        ({"00741204": {"vr": "LO", "Value": ["\ud800"]}}, "(0074,1204) has a value that is no valid LO"),
        ({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "\udc00"}]}}, "(0010,0010) has a value"),
        ({"00091001": {"vr": "FD", "Value": [float("inf")]}}, "(0009,1001) has a value that is no valid FD"),
        ({"00091001": {"vr": "FL", "Value": [10**400]}}, "(0009,1001) has a value that is no valid FL"),
    ],
)
def test_what_is_no_dicom_json_is_refused_by_its_tag(worklist, item, element, message):
    body = json.dumps({**item(), **element}).replace("Infinity", "1e999")
    answer = worklist.http.post(ROOT, content=body, headers=DICOM_JSON)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_a_body_that_is_no_data_set(worklist, item):
    nested: object = {}
    for _ in range(10):
        nested = {"00404021": {"vr": "SQ", "Value": [nested]}}
    bodies = (b"{", b"[]", b"1", b"[1]", b"[" * 100_000, json.dumps([item(), item()]).encode())
    for body in (*bodies, json.dumps(nested).encode(), b'{"00741204": {"vr": "LO", "Value": [NaN]}}'):
        answer = worklist.http.post(ROOT, content=body, headers=DICOM_JSON)
        assert answer.status_code == 400, body[:40]


def test_a_query_holds_a_uid_and_nothing_else(worklist, item):
    for query in ("?uid=1.2.3", "?abc", "?workitem=abc", "?1.2.3&1.2.4", "?1..2", "?1.02", "?\u0661.2"):
        answer = worklist.create(item(), query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_field"), query


@pytest.mark.parametrize(
    ("changes", "tag"),
    [
        ({"PatientID": "2"}, "(0010,0020)"),
        ({"ProcedureStepState": "COMPLETED"}, "(0074,1000)"),
        ({"SOPInstanceUID": "1.2.3"}, "(0008,0018)"),
        ({"ProcedureStepLabel": ""}, "(0074,1204)"),
        ({"InputReadinessState": "SOON"}, "(0040,4041)"),
    ],
)
def test_an_update_names_what_it_may_not_change(worklist, item, elsewhere, attributes, changes, tag):
    uid = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
    answer = worklist.update(uid, attributes(**changes))
    assert answer.status_code == 400
    assert tag in answer.json()["error"]["message"]


def test_a_state_is_asked_for_by_its_name(worklist, item, elsewhere):
    uid = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
    for state in ("SCHEDULED", "DONE"):
        answer = worklist.move(uid, state)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "ProcedureStepState")


def test_an_action_holds_what_belongs_to_it(worklist, item, elsewhere, attributes):
    uid = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
    for told, tag in (
        (attributes(PatientID="1"), "(0010,0020)"),
        (attributes(ProcedureStepDiscontinuationReasonCodeSequence=[Dataset()]), "(0074,100E)"),
    ):
        answer = worklist.cancel(uid, told)
        assert answer.status_code == 400 and tag in answer.json()["error"]["message"]
    assert worklist.state(uid) == "SCHEDULED"


def test_neither_log_nor_metrics_hold_what_an_item_says(worklist, gateway, item, elsewhere, caplog):
    with caplog.at_level("DEBUG"):
        uid = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
        worklist.search(PatientName="Doe*")
        worklist.cancel(uid)
    written = "".join(record.getMessage() for record in caplog.records if record.name.startswith("radserve"))
    assert "/dicom-web/workitems/{workitem}/cancelrequest" in written
    for secret in (uid, "Doe", "bleed"):
        assert secret not in written + gateway.http.get("/metrics").text

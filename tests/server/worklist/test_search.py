"""Searches of the worklist: keys, ranges, sequences, fields, pages."""

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

ROOT = "/dicom-web/workitems"


@pytest.fixture(scope="module")
def station():
    """A station name of this module's own, so that other tests' items are not found."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = generate_uid()[-16:], "L", "A station"
    return code


@pytest.fixture
def listed(worklist, item, station):
    """Three items, by the last letter of their label; made once."""
    known = worklist.search(**{"ScheduledStationNameCodeSequence.CodeValue": station.CodeValue})
    if not known:
        for letter, priority, day, patient in (
            ("A", "HIGH", "20260101", "Doe^Jane"),
            ("B", "LOW", "20260102", "Roe^Max"),
            ("C", "LOW", "20260103", "Doe^John"),
        ):
            told = item(
                ScheduledStationNameCodeSequence=[station],
                ScheduledProcedureStepPriority=priority,
                ScheduledProcedureStepStartDateTime=f"{day}080000+0000",
                ProcedureStepLabel=f"Task {letter}",
                WorklistLabel=f"ward-{letter}",
                PatientName=patient,
                StudyInstanceUID=f"1.2.{ord(letter)}",
            )
            worklist.schedule(told)

    def search(**query):
        query = {"ScheduledStationNameCodeSequence.CodeValue": station.CodeValue, **query}
        return "".join(found.ProcedureStepLabel[-1] for found in worklist.search(**query))

    return search


@pytest.mark.parametrize(
    ("keyword", "wanted", "found"),
    [
        ("ScheduledProcedureStepPriority", "LOW", "BC"),
        ("00741200", "LOW", "BC"),
        ("ProcedureStepState", "SCHEDULED", "ABC"),
        ("ProcedureStepState", "COMPLETED", ""),
        ("ProcedureStepLabel", "Task ?", "ABC"),
        ("ProcedureStepLabel", "task A", ""),
        ("ProcedureStepLabel", "*B", "B"),
        ("ProcedureStepLabel", ".*", ""),
        ("ProcedureStepLabel", "[T]ask A", ""),
        ("ProcedureStepLabel", "*s*k*C", "C"),
        ("WorklistLabel", "ward-C", "C"),
        ("PatientName", "doe*", "AC"),
        ("PatientID", "123456", "ABC"),
        ("PatientID", "", "ABC"),
        ("StudyInstanceUID", "1.2.65,1.2.67", "AC"),
        ("ScheduledProcedureStepStartDateTime", "20260102", "B"),
        ("ScheduledProcedureStepStartDateTime", "20260102-", "BC"),
        ("ScheduledProcedureStepStartDateTime", "-20260102", "AB"),
        ("ScheduledProcedureStepStartDateTime", "20260102-20260103", "BC"),
        ("ScheduledWorkitemCodeSequence.CodeValue", "answer-questions", "ABC"),
        ("00404018.00080100", "something else", ""),
    ],
)
def test_an_attribute_finds_the_items_that_have_it(listed, keyword, wanted, found):
    assert listed(**{keyword: wanted}) == found


def test_many_wildcards_do_not_hold_up_the_server(worklist, item, elsewhere):
    mine = generate_uid()
    told = {"ScheduledStationNameCodeSequence": [elsewhere], "ProcedureStepLabel": "a" * 64}
    worklist.schedule(item(SOPInstanceUID=mine, **told))
    query = {"SOPInstanceUID": mine, "ProcedureStepLabel": "*a" * 7 + "*b"}
    assert worklist.http.get(ROOT, params=query, timeout=5).status_code == 204
    worklist.cancel(mine)


def test_the_keys_of_a_sequence_are_those_of_one_item_of_it(worklist, item, elsewhere, station):
    mine = generate_uid()
    worklist.schedule(item(SOPInstanceUID=mine, ScheduledStationNameCodeSequence=[elsewhere, station]))
    code = "ScheduledStationNameCodeSequence"
    pairs = {(elsewhere.CodeValue, "CAD workstation"): 1, (elsewhere.CodeValue, "A station"): 0}
    for (value, meaning), count in pairs.items():
        query = {"SOPInstanceUID": mine, f"{code}.CodeValue": value, f"{code}.CodeMeaning": meaning}
        assert len(worklist.search(**query)) == count
    worklist.cancel(mine)


def test_pages_follow_one_another(listed):
    assert listed(WorklistLabel="ward-*", limit="2") == "AB"
    assert listed(WorklistLabel="ward-*", limit="2", offset="2") == "C"


def test_fields_are_given_as_they_are_asked_for(worklist, listed):
    def tags(**query):
        return set(worklist.search(WorklistLabel="ward-A", **query)[0].to_json_dict())

    parameters, inputs = "00741210", "00404021"
    assert {parameters, inputs}.isdisjoint(tags())
    assert parameters in tags(includefield="ScheduledProcessingParametersSequence")
    assert {parameters, inputs} <= tags(includefield="all")


def test_what_cannot_be_searched_is_refused_or_told(worklist, listed):
    for query in ({"Colour": "red"}, {"limit": "many"}, {"includefield": "TransactionUID"}):
        assert worklist.http.get(ROOT, params=query).status_code == 400, query
    sequence = worklist.http.get(ROOT, params={"ScheduledStationNameCodeSequence": "x"})
    assert "ScheduledStationNameCodeSequence.CodeValue" in sequence.json()["error"]["message"]
    fuzzy = worklist.http.get(ROOT, params={"PatientName": "Doe*", "fuzzymatching": "true"})
    assert fuzzy.headers["warning"].endswith("Only literal matching has been performed.")
    assert worklist.http.get(ROOT, params={"PatientID": "nobody"}).status_code == 204

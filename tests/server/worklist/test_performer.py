"""Work items that this server performs: questions answered, reports in the archive, the item completed."""

import asyncio
import io
import stat
from functools import partial

import pydicom
import pytest
from pydicom import Dataset

from radserve_server.errors import ArchiveTimeout
from radserve_server.fake import FakeBackend
from radserve_server.pacs.archive import Archives, InstanceAddress
from radserve_server.pacs.memory import MemoryArchive
from radserve_server.worklist.queue import next_item


class Engine(FakeBackend):
    """Takes a minute for the question `slow_on`, and no time for any other."""

    slow_on = ""

    def stream(self, question):
        self.first_delay_s = 60.0 if read_question(question) == self.slow_on else 0.0
        return super().stream(question)


def read_question(question):
    return question.messages[-1]["content"][-1]["text"]


@pytest.fixture(scope="module")
def ward(ct):
    """An archive with one real CT slice."""
    archive = MemoryArchive("ward")
    asyncio.run(archive.store([ct]))
    return archive


@pytest.fixture(scope="module")
def filing():
    """An archive that takes reports."""
    return MemoryArchive("filing")


@pytest.fixture(scope="module")
def gateway(start, ward, filing):
    with start(Engine(), archives=Archives({"ward": ward, "filing": filing})) as gateway:
        yield gateway


@pytest.fixture
def worklist(gateway, speak):
    """Of a gateway whose engine has forgotten what it was told to do."""
    gateway.backend.__init__()
    gateway.backend.slow_on = ""
    return speak(gateway.http)


@pytest.fixture(scope="module")
def header(ct):
    return pydicom.dcmread(io.BytesIO(ct), stop_before_pixels=True)


@pytest.fixture
def item(item, header):
    """About the patient whose slice it is."""
    return partial(item, PatientID=header.PatientID)


@pytest.fixture
def given(header):
    """The slice as an item of Input Information Sequence."""

    def build(**other):
        reference, source, way = Dataset(), Dataset(), Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = (
            header.SOPClassUID,
            header.SOPInstanceUID,
        )
        way.RetrieveAETitle = "ward"
        source.TypeOfInstances = "DICOM"
        source.StudyInstanceUID, source.SeriesInstanceUID = header.StudyInstanceUID, header.SeriesInstanceUID
        source.ReferencedSOPSequence, source.DICOMRetrievalSequence = [reference], [way]
        for keyword, value in other.items():
            setattr(source, keyword, value)
        return [source]

    return build


def ask(*questions):
    """Scheduled Processing Parameters Sequence."""
    return [question(text) for text in questions]


def question(text, code="question"):
    concept, item = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = code, "99RADSERVE", "Question"
    item.ValueType, item.ConceptNameCodeSequence, item.TextValue = "TEXT", [concept], text
    return item


def ended(worklist, gateway, uid):
    """The item once it has ended."""
    gateway.until(lambda: worklist.state(uid) in ("COMPLETED", "CANCELED"))
    return worklist.retrieve(uid)


def test_questions_are_answered_and_their_reports_lie_in_the_archive(
    worklist, gateway, item, given, ward, header
):
    questions = ("Is there a bleed?", "Which organ is shown?")
    uid = worklist.schedule(
        item(InputInformationSequence=given(), ScheduledProcessingParametersSequence=ask(*questions))
    )
    done = ended(worklist, gateway, uid)
    assert done.ProcedureStepState == "COMPLETED", done
    assert done.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 100
    (performed,) = done.UnifiedProcedureStepPerformedProcedureSequence
    assert performed.PerformedStationNameCodeSequence[0].CodeValue == "radserve"
    assert performed.PerformedProcessingParametersSequence[0].TextValue == f"sha256:{'0' * 64}"
    assert performed.PerformedProcedureStepStartDateTime <= performed.PerformedProcedureStepEndDateTime
    told = []
    for output in performed.OutputInformationSequence:
        assert output.DICOMRetrievalSequence[0].RetrieveAETitle == "ward"
        assert output.StudyInstanceUID == header.StudyInstanceUID
        (reference,) = output.ReferencedSOPSequence
        address = InstanceAddress(
            "ward", output.StudyInstanceUID, output.SeriesInstanceUID, reference.ReferencedSOPInstanceUID
        )
        report = pydicom.dcmread(io.BytesIO(asyncio.run(ward.fetch(address))))
        assert (report.Modality, report.SOPClassUID) == ("SR", reference.ReferencedSOPClassUID)
        told.append([element.value for element in report.iterall() if element.keyword == "TextValue"])
    assert len(told) == 2
    for text, asked in zip(told, questions, strict=True):
        assert asked in text and "No acute abnormality is seen." in text, text
    assert [len(question.images) for question in gateway.backend.questions] == [1, 1]


@pytest.mark.parametrize(
    "patient", [{"PatientID": "1CT2"}, {"IssuerOfPatientID": "elsewhere"}, {"PatientID": None}]
)
def test_nothing_is_filed_in_the_study_of_another_patient(
    worklist, gateway, item, given, ward, header, patient
):
    """An issuer that the images do not name proves nothing, nor does an item without a Patient ID."""
    before = {entry.series for entry in asyncio.run(ward.list_series(header.StudyInstanceUID))}
    told = item(InputInformationSequence=given(), **patient)
    if patient == {"PatientID": None}:
        told["00100020"] = {"vr": "LO"}
    done = ended(worklist, gateway, worklist.schedule(told))
    if patient != {"PatientID": "1CT2"}:
        assert done.ProcedureStepState == "COMPLETED"
        return
    assert done.ProcedureStepState == "CANCELED"
    reason = done.ProcedureStepProgressInformationSequence[0]
    assert reason.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110530"
    assert "(0010,0020)" in reason.ReasonForCancellation
    assert {entry.series for entry in asyncio.run(ward.list_series(header.StudyInstanceUID))} == before


def test_reports_go_where_the_item_wants_them(worklist, gateway, item, given, filing, header):
    way, destination = Dataset(), Dataset()
    way.DestinationAE = "filing"
    destination.DICOMStorageSequence = [way]
    told = item(InputInformationSequence=given(), OutputDestinationSequence=[destination])
    done = ended(worklist, gateway, worklist.schedule(told))
    assert done.ProcedureStepState == "COMPLETED"
    (output,) = done.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence
    (entry,) = asyncio.run(filing.list_series(header.StudyInstanceUID))
    assert (entry.modality, entry.series) == ("SR", output.SeriesInstanceUID)
    assert output.DICOMRetrievalSequence[0].RetrieveAETitle == "filing"
    way.DestinationAE = "nowhere"
    refused = worklist.create(item(InputInformationSequence=given(), OutputDestinationSequence=[destination]))
    assert refused.json()["error"]["param"] == "DICOMStorageSequence"


def test_progress_is_told_while_it_runs_and_cancelling_stops_the_engine(
    worklist, gateway, item, given, attributes
):
    gateway.backend.slow_on = "Second?"
    questions = ask("First?", "Second?", "Third?", "Fourth?")
    uid = worklist.schedule(
        item(InputInformationSequence=given(), ScheduledProcessingParametersSequence=questions)
    )
    gateway.until(lambda: gateway.backend.asked == 2 and gateway.backend.running == 1)
    (told,) = worklist.retrieve(uid).ProcedureStepProgressInformationSequence
    assert (told.ProcedureStepProgress, told.ProcedureStepProgressDescription) == (
        25,
        "1 of 4 questions answered",
    )
    assert worklist.cancel(uid, attributes(ReasonForCancellation="No longer needed")).status_code == 202
    done = ended(worklist, gateway, uid)
    (why,) = done.ProcedureStepProgressInformationSequence
    assert (done.ProcedureStepState, why.ReasonForCancellation) == ("CANCELED", "No longer needed")
    assert why.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"
    assert gateway.backend.cancelled == 1 and gateway.backend.running == 0
    results = done.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence
    assert len(results) == 1, "what was answered before stays"


def test_the_most_urgent_item_is_next_and_what_is_not_ready_or_due_waits(
    worklist, gateway, item, given, attributes
):
    gateway.backend.slow_on = "Slow?"

    def schedule(text, **values):
        asked = ask(text)
        return worklist.schedule(
            item(InputInformationSequence=given(), ScheduledProcessingParametersSequence=asked, **values)
        )

    slow = schedule("Slow?")
    gateway.until(lambda: gateway.backend.running)
    unready = schedule("Unready?", InputReadinessState="INCOMPLETE")
    early = schedule("Early?", ScheduledProcedureStepStartDateTime="29990101")
    expired = schedule("Expired?", ScheduledProcedureStepExpirationDateTime="20200101")
    last = [
        schedule(f"{priority}?", ScheduledProcedureStepPriority=priority)
        for priority in ("LOW", "MEDIUM", "HIGH")
    ]
    worklist.cancel(slow)
    for uid in last:
        assert ended(worklist, gateway, uid).ProcedureStepState == "COMPLETED"
    asked = [read_question(question) for question in gateway.backend.questions]
    assert asked[1:] == ["HIGH?", "MEDIUM?", "LOW?"]
    assert worklist.state(unready) == worklist.state(early) == "SCHEDULED"
    (why,) = ended(worklist, gateway, expired).ProcedureStepProgressInformationSequence
    assert why.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeMeaning == "Workitem expired"
    assert worklist.update(unready, attributes(InputReadinessState="READY")).status_code == 200
    assert ended(worklist, gateway, unready).ProcedureStepState == "COMPLETED"
    worklist.cancel(early)


def test_an_item_of_ours_may_be_claimed_by_another(worklist, gateway, item, given):
    held = item(InputInformationSequence=given(), InputReadinessState="UNAVAILABLE")
    uid = worklist.schedule(held)
    assert worklist.move(uid, "IN PROGRESS").status_code == 200
    assert worklist.move(uid, "IN PROGRESS", "1.2.98").status_code == 409


@pytest.mark.parametrize(
    ("study", "code"), [("1.2.3.4.5.6", "Object Set incomplete"), (None, "Equipment failure")]
)
def test_what_cannot_be_answered_is_canceled_with_the_reason(
    worklist, gateway, item, given, study, code, monkeypatch
):
    monkeypatch.setattr("radserve_server.worklist.performance._PAUSE_S", 0.0)
    if study is None:
        gateway.backend.fail_every = 1
    source = given() if study is None else given(StudyInstanceUID=study, ReferencedSOPSequence=[])
    uid = worklist.schedule(item(InputInformationSequence=source))
    done = ended(worklist, gateway, uid)
    (why,) = done.ProcedureStepProgressInformationSequence
    assert done.ProcedureStepState == "CANCELED"
    assert why.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeMeaning == code
    assert why.ReasonForCancellation
    assert gateway.backend.asked == (4 if study is None else 0)


def test_more_frames_than_the_engine_takes_are_refused_before_any_is_fetched(
    worklist, gateway, item, given, ward, monkeypatch
):
    monkeypatch.setattr(ward, "fetch", None)  # a call of it would fail
    (source,) = given()
    source.ReferencedSOPSequence[0].ReferencedFrameNumber = list(range(1, 61))
    done = ended(worklist, gateway, worklist.schedule(item(InputInformationSequence=[source])))
    (why,) = done.ProcedureStepProgressInformationSequence
    assert "60 images" in why.ReasonForCancellation
    assert why.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110530"


def test_an_engine_that_fails_once_is_asked_again(worklist, gateway, item, given, monkeypatch):
    monkeypatch.setattr("radserve_server.worklist.performance._PAUSE_S", 0.0)
    gateway.backend.fail_every = 2
    asked = ask("First?", "Second?")
    uid = worklist.schedule(
        item(InputInformationSequence=given(), ScheduledProcessingParametersSequence=asked)
    )
    assert ended(worklist, gateway, uid).ProcedureStepState == "COMPLETED"
    assert gateway.backend.asked == 3


def test_an_archive_that_fails_once_is_asked_again(worklist, gateway, item, given, ward, monkeypatch):
    monkeypatch.setattr("radserve_server.worklist.performance._PAUSE_S", 0.0)
    fetch, store, failed = ward.fetch, ward.store, []

    async def fail_once(work, given):
        if work not in failed:
            failed.append(work)
            raise ArchiveTimeout("too slow")
        return await work(given)

    monkeypatch.setattr(ward, "fetch", partial(fail_once, fetch))
    monkeypatch.setattr(ward, "store", partial(fail_once, store))
    done = ended(worklist, gateway, worklist.schedule(item(InputInformationSequence=given())))
    assert (done.ProcedureStepState, failed) == ("COMPLETED", [fetch, store])
    assert gateway.backend.asked == 1, "what was answered is not asked again because it could not be stored"


def test_the_work_goes_on_after_an_error_that_nobody_thought_of(
    worklist, gateway, item, given, monkeypatch, caplog
):
    monkeypatch.setattr("radserve_server.worklist.performer._LOOK_S", 0.01)
    failures = iter([RuntimeError("unheard of")])

    def fail_once(places):
        for error in failures:
            raise error
        return next_item(places)

    monkeypatch.setattr("radserve_server.worklist.performer.next_item", fail_once)
    uid = worklist.schedule(item(InputInformationSequence=given()))
    assert ended(worklist, gateway, uid).ProcedureStepState == "COMPLETED"
    assert "unheard of" in caplog.text


def test_a_task_that_cannot_be_done_is_refused_when_it_is_created(worklist, item, given, elsewhere):
    other = Dataset()
    other.RetrieveURL = "http://example.org/dicom-web/studies/1.2.3"
    refused = {
        "ScheduledWorkitemCodeSequence": item(ScheduledWorkitemCodeSequence=[elsewhere]),
        "ScheduledProcessingParametersSequence": item(
            ScheduledProcessingParametersSequence=[question("5", "slices")]
        ),
        "TextValue": item(ScheduledProcessingParametersSequence=ask("  ")),
        "InputInformationSequence": item(InputInformationSequence=[]),
        "TypeOfInstances": item(InputInformationSequence=given(TypeOfInstances="CDA")),
        "WADORSRetrievalSequence": item(
            InputInformationSequence=given(DICOMRetrievalSequence=[], WADORSRetrievalSequence=[other])
        ),
    }
    for keyword, told in refused.items():
        answer = worklist.create(told)
        assert answer.status_code == 400, keyword
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("unsupported_workitem", keyword), error
        assert f"({pydicom.datadict.tag_for_keyword(keyword) >> 16:04X}," in error["message"]


def test_work_goes_on_after_a_restart_where_it_stopped(start, speak, ward, item, given, tmp_path, elsewhere):
    """The second question is under way when the server stops: it alone is asked again."""
    file = tmp_path / "worklist.sqlite"
    options = {"archives": Archives({"ward": ward}), "worklist_file": file, "shutdown_s": 1}
    backend = Engine()
    backend.slow_on = "Second?"
    with start(backend, **options) as gateway:
        worklist = speak(gateway.http)
        foreign = worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))
        assert worklist.move(foreign, "IN PROGRESS").status_code == 200
        asked = ask("First?", "Second?")
        uid = worklist.schedule(
            item(InputInformationSequence=given(), ScheduledProcessingParametersSequence=asked)
        )
        gateway.until(lambda: backend.asked == 2 and backend.running)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        assert modes == {file.name: 0o600, f"{file.name}-wal": 0o600}
    assert backend.cancelled == 1
    with start(FakeBackend(), **options) as gateway:
        worklist = speak(gateway.http)
        done = ended(worklist, gateway, uid)
        assert done.ProcedureStepState == "COMPLETED"
        assert len(done.UnifiedProcedureStepPerformedProcedureSequence[0].OutputInformationSequence) == 2
        (again,) = gateway.backend.questions
        assert read_question(again) == "Second?"
        assert worklist.move(foreign, "COMPLETED", "1.2.98").headers["warning"].endswith("is incorrect.")
        with pytest.raises(ValueError, match=r"worklist_file .* cannot be used"):
            start(FakeBackend(), **options).__enter__()
        connection = gateway.services.worklist._file._connection
        connection.execute("PRAGMA query_only = ON")
        full = worklist.create(item(ScheduledStationNameCodeSequence=[elsewhere]), "?1.2.97")
        assert (full.status_code, full.json()["error"]["code"]) == (503, "worklist_unavailable")
        assert worklist.http.get("/dicom-web/workitems/1.2.97").status_code == 404
        connection.execute("PRAGMA query_only = OFF")
        assert worklist.move(foreign, "IN PROGRESS").status_code == 409
        assert worklist.schedule(item(ScheduledStationNameCodeSequence=[elsewhere]))

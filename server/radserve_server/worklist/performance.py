"""One work item from its questions to its reports."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from pydicom import Dataset

from radserve_server.answer_store import KeptAnswer
from radserve_server.asking import ask_about
from radserve_server.errors import ArchiveError, EngineUnavailable, InvalidRequest, Overloaded
from radserve_server.reports.filing import Report, file_report
from radserve_server.reports.report_schema import ReportRequest
from radserve_server.reports.source_images import gather_images
from radserve_server.schemas import DicomReference
from radserve_server.services import Services
from radserve_server.worklist.dates import write_time
from radserve_server.worklist.results import describe_output, describe_performed, describe_progress
from radserve_server.worklist.task import Input, make_reference, read_task
from radserve_server.worklist.whereabouts import refuse
from radserve_server.worklist.workitem import State

_TRIES = 4
_PAUSE_S = 1.0
_MOST_INSTANCES = 64
T = TypeVar("T")


async def perform(services: Services, uid: str) -> None:
    """Answer what is not answered yet, file each answer, complete the item; raises GatewayError."""
    worklist = services.worklist
    item = worklist.find(uid)
    dataset = item.dataset()
    task = read_task(dataset, services.archives)
    started, outputs, engine = _read_performed(dataset)
    references = [await _insist(partial(_choose, services, given)) for given in task.inputs]
    await _tell(services, uid, describe_progress(len(outputs), len(task.questions)))
    for question in task.questions[len(outputs) :]:
        answer = await _insist(partial(ask_about, services, item.caller, references, question))
        await _insist(partial(_check_patient, services, item.caller, dataset, answer))
        engine = str(answer.clinical["engine"]["digest"])
        wanted = ReportRequest.model_validate({"answer_id": answer.answer_id, "pacs": task.destination})
        report = await _insist(partial(file_report, services, item.caller, wanted))
        outputs.append(_describe(services, report))
        changes = describe_progress(len(outputs), len(task.questions))
        changes.update(describe_performed(started, None, outputs, engine))
        await _tell(services, uid, changes)
    await _tell(services, uid, describe_performed(started, write_time(time.time()), outputs, engine))
    await worklist.change_state(uid, State.COMPLETED, item.transaction_uid)


async def _insist(work: Callable[[], Awaitable[T]]) -> T:
    """People's questions go first: waits as long as there is no place. What fails gets some more tries."""
    failures = 0
    while True:
        try:
            return await work()
        except Overloaded:
            pass
        except (ArchiveError, EngineUnavailable):
            failures += 1
            if failures == _TRIES:
                raise
        await asyncio.sleep(_PAUSE_S * 2**failures)


async def _choose(services: Services, given: Input) -> DicomReference:
    """Instances as they are listed; a list of all that a series has is the series, of which the policy chooses."""
    most = min(services.watch.require().policy.max_images, _MOST_INSTANCES)
    if given.series is None or len(given.instances) <= most:
        return make_reference(given)
    archive = services.archives.get(given.pacs, "InputInformationSequence")
    entries = await archive.list_instances(given.study, given.series)
    if {entry.address.instance for entry in entries if entry.planes} - set(given.instances):
        message = (
            f"it lists {len(given.instances)} instances of a larger series; the engine takes {most} at most"
        )
        raise InvalidRequest(f"Referenced SOP Sequence (0008,1199): {message}", code="too_many_images")
    return make_reference(replace(given, instances=()))


async def _check_patient(services: Services, caller: str, dataset: Dataset, answer: KeptAnswer) -> None:
    """Before anything is filed: who mistyped a UID must not get a report into another patient's study."""
    wanted, wanted_issuer = (
        str(dataset.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID")
    )
    patient, issuer = (await gather_images(services, caller, answer))[0].patient
    if (wanted and wanted != patient) or (wanted_issuer and issuer and wanted_issuer != issuer):
        raise refuse("PatientID", "the images are of another patient than the item")


def _describe(services: Services, report: Report) -> Dataset:
    told = report.to_json()
    archive = services.archives.get(report.stored_to, "pacs")
    return describe_output(
        archive, told["study"], told["series"], told["sop_class"]["uid"], told["sop_instance_uid"]
    )


def _read_performed(dataset: Dataset) -> tuple[str, list[Dataset], str | None]:
    """When the work began (DT), results and engine so far: there are some if it goes on after a restart."""
    for done in dataset.get("UnifiedProcedureStepPerformedProcedureSequence") or ():
        engine = str(done.PerformedProcessingParametersSequence[0].TextValue)
        return str(done.PerformedProcedureStepStartDateTime), list(done.OutputInformationSequence), engine
    return write_time(time.time()), [], None


async def _tell(services: Services, uid: str, changes: Dataset) -> None:
    await services.worklist.update(uid, services.worklist.find(uid).transaction_uid, changes)

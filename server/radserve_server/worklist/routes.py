"""/dicom-web/workitems: Unified Procedure Steps by UPS-RS (DICOM PS3.18 chapter 11)."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydicom import Dataset
from starlette.responses import Response

from radserve_server.auth import Caller
from radserve_server.documentation import (
    WORKITEM,
    WORKITEM_CANCEL,
    WORKITEM_CREATE,
    WORKITEM_STATE,
    WORKITEM_SUBSCRIPTION,
    WORKITEM_UPDATE,
    WORKITEMS,
)
from radserve_server.errors import InvalidRequest, NotOffered
from radserve_server.pacs.archive import Archives
from radserve_server.services import Services, services_of
from radserve_server.uids import MOST_CHARACTERS, PATTERN
from radserve_server.worklist.matching import read_query
from radserve_server.worklist.media import answer_json, check_accept, read_attributes, read_uid
from radserve_server.worklist.queue import is_for_us
from radserve_server.worklist.requirements import check_action
from radserve_server.worklist.task import read_task
from radserve_server.worklist.workitem import State, Workitem

ROOT = "/dicom-web/workitems"
Uid = Annotated[str, Path(pattern=f"^{PATTERN}$", max_length=MOST_CHARACTERS)]
_CLAIMABLE = (State.IN_PROGRESS, State.COMPLETED, State.CANCELED)
_CANCELLATION = (
    *("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence"),
    *("ContactURI", "ContactDisplayName"),
)
router = APIRouter(tags=["worklist"])


@router.post(ROOT, status_code=201, **WORKITEM_CREATE)
async def create_workitem(request: Request, caller: Caller) -> Response:
    """Schedule a work item (PS3.18 11.4); its UID is that of the query or the data set, or a new one."""
    services = services_of(request)
    uid = read_uid(request, ("workitem", "AffectedSOPInstanceUID"))
    dataset = await read_attributes(request)
    item = await services.worklist.create(caller, uid, dataset, _TaskCheck(services.archives))
    _note(services, caller, "create", item.uid)
    where = f"{request.url.replace(query='')}/{item.uid}"
    return Response(status_code=201, headers={"location": where, "content-location": where})


@router.get(ROOT, **WORKITEMS)
async def search_workitems(request: Request, caller: Caller) -> Response:
    """Work items that match (PS3.18 11.9); 204 if none does."""
    check_accept(request)
    query = read_query(request.query_params.multi_items())
    items = [item.attributes for item in services_of(request).worklist]
    found, warnings = await asyncio.to_thread(query.run, items)
    return answer_json(found, warnings) if found else Response(status_code=204)


@router.get(f"{ROOT}/{{workitem}}", **WORKITEM)
async def retrieve_workitem(request: Request, workitem: Uid, caller: Caller) -> Response:
    """A work item without its Transaction UID (PS3.18 11.5)."""
    check_accept(request)
    return answer_json([services_of(request).worklist.find(workitem).attributes])


@router.post(f"{ROOT}/{{workitem}}", **WORKITEM_UPDATE)
async def update_workitem(request: Request, workitem: Uid, caller: Caller) -> Response:
    """Set attributes (PS3.18 11.6); the query or the data set holds the Transaction UID of a claimed item."""
    services = services_of(request)
    transaction_uid = read_uid(request, ("transaction", "transaction-uid", "TransactionUID"))
    services.worklist.find(workitem)
    changes = await read_attributes(request)
    transaction_uid = _take_transaction(changes) or transaction_uid
    await services.worklist.update(workitem, transaction_uid, changes, _TaskCheck(services.archives))
    _note(services, caller, "update", workitem)
    return Response(status_code=200, headers={"content-location": str(request.url.replace(query=""))})


@router.put(f"{ROOT}/{{workitem}}/state", **WORKITEM_STATE)
async def change_state(request: Request, workitem: Uid, caller: Caller) -> Response:
    """Claim, complete or cancel a work item (PS3.18 11.7)."""
    services = services_of(request)
    services.worklist.find(workitem)
    wish = await read_attributes(request)
    check_action(wish, "ProcedureStepState", "TransactionUID")
    wanted = wish.get("ProcedureStepState")
    if wanted not in _CLAIMABLE:
        message = f"Procedure Step State (0074,1000) is none of {', '.join(_CLAIMABLE)}"
        raise InvalidRequest(message, code="invalid_attribute", param="ProcedureStepState")
    warning = await services.worklist.change_state(workitem, State(wanted), _take_transaction(wish))
    _note(services, caller, "change_state", workitem)
    return Response(status_code=200, headers={} if warning is None else {"warning": warning})


@router.post(f"{ROOT}/{{workitem}}/cancelrequest", status_code=202, **WORKITEM_CANCEL)
async def request_cancellation(request: Request, workitem: Uid, caller: Caller) -> Response:
    """Ask whoever performs a work item to cancel it (PS3.18 11.8)."""
    services = services_of(request)
    services.worklist.find(workitem)
    reason = await read_attributes(request, optional=True)
    check_action(reason, *_CANCELLATION)
    warning = await services.worklist.request_cancellation(workitem, reason)
    _note(services, caller, "cancel_request", workitem)
    return Response(status_code=202, headers={} if warning is None else {"warning": warning})


@router.post(f"{ROOT}/{{workitem}}/subscribers/{{aetitle}}", **WORKITEM_SUBSCRIPTION)
@router.delete(f"{ROOT}/{{workitem}}/subscribers/{{aetitle}}", **WORKITEM_SUBSCRIPTION)
@router.post(f"{ROOT}/{{workitem}}/subscribers/{{aetitle}}/suspend", **WORKITEM_SUBSCRIPTION)
async def refuse_subscription(workitem: Uid, aetitle: str, caller: Caller) -> Response:
    """Not offered: look at the work item instead (PS3.18 11.10 to 11.12)."""
    raise NotOffered("there are no subscriptions here: GET the work item, or search, as often as you like")


@dataclass(frozen=True, slots=True)
class _TaskCheck:
    """An item for this server that it cannot perform is refused at once, not canceled later."""

    archives: Archives

    def __call__(self, item: Workitem) -> Workitem:
        if item.state is State.SCHEDULED and is_for_us(item.attributes):
            read_task(item.dataset(), self.archives)
        return item


def _note(services: Services, caller: str, action: str, uid: str) -> None:
    state = services.worklist.find(uid).state
    services.audit.note("workitem", caller, workitem=uid, action=action, state=state)


def _take_transaction(dataset: Dataset) -> str | None:
    """Out of the data set, for it is never kept among the attributes."""
    told = str(dataset.get("TransactionUID") or "")
    dataset.pop("TransactionUID", None)
    return told or None

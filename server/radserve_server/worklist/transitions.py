"""What an item becomes: pure steps between the states of PS3.4 CC.1.1, each refused where it is not allowed."""

import hmac
import time
from dataclasses import replace

from pydicom import Dataset

from radserve_server.errors import Conflict, InvalidRequest
from radserve_server.worklist.codes import UNSPECIFIED
from radserve_server.worklist.dates import write_time
from radserve_server.worklist.requirements import check_final
from radserve_server.worklist.workitem import State, Workitem

_REASONS = ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
_PERFORMER_S = (
    *("ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"),
    "SpecificCharacterSet",
)
_INCONSISTENT = "299 radserve: The submitted request is inconsistent with the state of the UPS Instance."
_MISSING = "299 radserve: The Transaction UID is missing."
_INCORRECT = "299 radserve: The Transaction UID is incorrect."
_NOT_CLAIMED = "299 radserve: The target URI did not reference a claimed Workitem."


def update_item(item: Workitem, transaction_uid: str | None, changes: Dataset) -> Workitem:
    """With other attributes (PS3.4 CC.2.6.3); raises InvalidRequest, by PS3.18 table 11.6.3-1."""
    if item.state.is_final:
        raise InvalidRequest(f"the work item is {item.state}", code="final_state", warning=_INCONSISTENT)
    if item.state is State.IN_PROGRESS:
        trouble = _find_trouble(item, transaction_uid)
        if trouble is not None:
            raise InvalidRequest(
                trouble[0], code="transaction_uid", param="TransactionUID", warning=trouble[1]
            )
    elif transaction_uid is not None:
        message = "nobody has claimed the work item, so that no Transaction UID (0008,1195) belongs to it"
        raise InvalidRequest(message, code="transaction_uid", param="TransactionUID", warning=_NOT_CLAIMED)
    if any(element.keyword not in _PERFORMER_S for element in changes):
        changes.ScheduledProcedureStepModificationDateTime = write_time(time.time())
    return item.with_changes(changes)


def move_item(item: Workitem, wanted: State, transaction_uid: str | None, *, own: bool) -> Workitem:
    """In another state (PS3.4 table CC.1.1-2); raises Conflict, by PS3.18 11.7.3."""
    if transaction_uid is None:
        message = "Transaction UID (0008,1195) is missing"
        raise Conflict(message, code="transaction_uid", param="TransactionUID", warning=_MISSING)
    if wanted is State.IN_PROGRESS:
        if item.state is not State.SCHEDULED:
            raise _inconsistent(f"the work item is {item.state}; only what is SCHEDULED can be claimed")
        return replace(item.with_changes(_state(wanted)), transaction_uid=transaction_uid, own=own)
    if item.state is State.SCHEDULED:
        raise _inconsistent(f"claim the work item before it becomes {wanted}: it is SCHEDULED")
    check_owner(item, transaction_uid)
    if item.state.is_final:
        raise _inconsistent(f"the work item is {item.state}, and becomes {wanted} no more")
    dataset = item.dataset(*_PERFORMER_S)
    if wanted is State.CANCELED and dataset.get("ProcedureStepProgressInformationSequence"):
        progress = dataset.ProcedureStepProgressInformationSequence[0]
        if not progress.get("ProcedureStepCancellationDateTime"):
            progress.ProcedureStepCancellationDateTime = write_time(time.time())
    check_final(dataset, wanted)
    dataset.ProcedureStepState = wanted
    return item.with_changes(dataset)


def cancel_item(item: Workitem, request: Dataset) -> Workitem:
    """CANCELED as somebody requested, which claims it on the way; raises Conflict, by PS3.18 11.8.3."""
    if item.state is State.COMPLETED:
        raise _conflict("the work item is COMPLETED", "final_state", "The UPS is already COMPLETED.")
    if item.state is State.IN_PROGRESS and not item.own:
        message = "another system performs the work item, and there is no way to tell it: ask its owner"
        raise _conflict(message, "performer_unreachable", "The performer cannot be contacted.")
    changes = _state(State.CANCELED)
    told = item.dataset("ProcedureStepProgressInformationSequence")
    progress = (told.get("ProcedureStepProgressInformationSequence") or [Dataset()])[0]
    for keyword in _REASONS:
        if request.get(keyword):
            setattr(progress, keyword, request.get(keyword))
    if not progress.get("ProcedureStepDiscontinuationReasonCodeSequence"):
        progress.ProcedureStepDiscontinuationReasonCodeSequence = [UNSPECIFIED.to_item()]
    progress.ProcedureStepCancellationDateTime = write_time(time.time())
    changes.ProcedureStepProgressInformationSequence = [progress]
    return item.with_changes(changes)


def check_owner(item: Workitem, transaction_uid: str | None) -> None:
    """Raises Conflict unless it is the Transaction UID of whoever claimed the item."""
    trouble = _find_trouble(item, transaction_uid)
    if trouble is not None:
        raise Conflict(trouble[0], code="transaction_uid", param="TransactionUID", warning=trouble[1])


def _find_trouble(item: Workitem, transaction_uid: str | None) -> tuple[str, str] | None:
    """What is wrong with a Transaction UID, and its Warning; the comparison's time tells nothing."""
    if transaction_uid is None:
        return (
            "Transaction UID (0008,1195) is missing: only whoever claimed the work item may do this",
            _MISSING,
        )
    known = item.transaction_uid or ""
    if not hmac.compare_digest(known.encode(), transaction_uid.encode()):
        return "Transaction UID (0008,1195) is not that of whoever claimed the work item", _INCORRECT
    return None


def _state(state: State) -> Dataset:
    changes = Dataset()
    changes.ProcedureStepState = state
    return changes


def _inconsistent(message: str) -> Conflict:
    return Conflict(message, code="wrong_state", param="ProcedureStepState", warning=_INCONSISTENT)


def _conflict(message: str, code: str, warning: str) -> Conflict:
    return Conflict(message, code=code, warning=f"299 radserve: {warning}")

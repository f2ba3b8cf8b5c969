"""One work item: a Unified Procedure Step, as it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from radserve_server.worklist.dicom_json import write_dataset


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self in (State.COMPLETED, State.CANCELED)


@dataclass(frozen=True, slots=True)
class Workitem:
    """`attributes` is the data set in the DICOM JSON Model, without the Transaction UID, which only its owner knows.

    `caller` is the name of the key that created it, `own` whether this server performs it; times are Unix seconds.
    """

    uid: str
    caller: str
    attributes: Mapping[str, Any]
    transaction_uid: str | None
    own: bool
    created: float
    changed: float

    @classmethod
    def of(cls, dataset: Dataset, caller: str, now: float) -> "Workitem":
        """A new one, of a data set with its SOP Instance UID."""
        return cls(str(dataset.SOPInstanceUID), caller, write_dataset(dataset), None, False, now, now)

    @property
    def state(self) -> State:
        """Procedure Step State."""
        return State(self.first("ProcedureStepState"))

    def first(self, keyword: str) -> Any:
        """The first value of an attribute, None if there is none."""
        values = self.attributes.get(f"{tag_for_keyword(keyword):08X}", {}).get("Value", [])
        return values[0] if values else None

    def dataset(self, *keywords: str) -> Dataset:
        """A copy of those attributes, or of all, to be read or changed."""
        tags = [f"{tag_for_keyword(keyword):08X}" for keyword in keywords] or list(self.attributes)
        return Dataset.from_json({tag: self.attributes[tag] for tag in tags if tag in self.attributes})

    def with_changes(self, changes: Dataset) -> "Workitem":
        """With other attributes; a sequence is replaced as a whole. Keys ascend (PS3.18 F.2.2)."""
        return replace(self, attributes=dict(sorted({**self.attributes, **write_dataset(changes)}.items())))

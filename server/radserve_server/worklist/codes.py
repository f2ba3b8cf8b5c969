"""The codes in work items: those of this server (private coding scheme 99RADSERVE), and DICOM's reasons to stop."""

from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset

SCHEME = "99RADSERVE"


@dataclass(frozen=True, slots=True)
class Code:
    """A code value, its coding scheme and its meaning (PS3.3 table 8.8-1)."""

    value: str
    scheme: str
    meaning: str

    def to_item(self) -> Dataset:
        """As an item of a code sequence."""
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = self.value, self.scheme, self.meaning
        return item

    def is_in(self, sequence: Iterable[Dataset] | None) -> bool:
        """Whether an item of a code sequence has this value and scheme."""
        return any(
            (item.get("CodeValue"), item.get("CodingSchemeDesignator")) == (self.value, self.scheme)
            for item in sequence or ()
        )


STATION = Code("radserve", SCHEME, "radserve")
"""In Scheduled Station Name Code Sequence: this server is to perform the item."""

ANSWER_QUESTIONS = Code("answer-questions", SCHEME, "Answer questions about images")
"""In Scheduled Workitem Code Sequence: what is to be done."""

QUESTION = Code("question", SCHEME, "Question")
"""The concept name of a processing parameter that is a question."""

ENGINE_DIGEST = Code("engine-digest", SCHEME, "Digest of the engine")
"""The concept name of a performed processing parameter: what answered."""

# Of context group 9300, Procedure Discontinuation Reasons.
UNSPECIFIED = Code("110513", "DCM", "Discontinued for unspecified reason")
EQUIPMENT_FAILURE = Code("110501", "DCM", "Equipment failure")
INCOMPLETE_OBJECTS = Code("110523", "DCM", "Object Set incomplete")
REJECTED = Code("110530", "DCM", "Workitem assignment rejected by assigned resource")
EXPIRED = Code("110533", "DCM", "Workitem expired")

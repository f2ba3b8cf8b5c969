"""What an archive says of instances that it was to store: the Store Instances Response, PS3.18 10.5.3."""

import json
from collections import Counter
from typing import Any

from radserve_server.errors import ArchiveBroken, ArchiveError
from radserve_server.pacs.dicom_json import read_number

_FAILED, _STORED, _REASON = "00081198", "00081199", 0x00081197
_THERE_ALREADY = 0x0111  # what is stored here is named by what it says, so that one of this UID is this one
_REASONS = {  # PS3.18 table 10.5.3-2, PS3.4 table B.2-1
    0x0110: "it failed while storing",
    0x0117: "it holds the UID to be invalid",
    0x0122: "it does not take this kind of object (SOP class)",
    0x0124: "it does not allow it",
    0xA700: "it is out of resources",
    0xA770: "the data do not fit the SOP class",
    0xA900: "the data do not fit the SOP class",
    0xC000: "it cannot understand the object",
    0xC122: "it does not take this transfer syntax",
}


def check_stored(pacs: str, content: bytes, sent: int) -> None:
    """Raises ArchiveError unless all instances that were `sent` are said to be stored, now or before."""
    try:
        told: Any = json.loads(content) if content else {}
    except ValueError:
        told = None
    if isinstance(told, list) and len(told) == 1:
        told = told[0]
    if not isinstance(told, dict):
        raise ArchiveBroken(f"what {pacs} says of storing is not DICOM JSON; look whether it is there")
    stored = len(_items(told, _STORED))
    whys = [read_number(item, _REASON) for item in _items(told, _FAILED)]
    failed = [why for why in whys if why != _THERE_ALREADY]
    stored += len(whys) - len(failed)
    if failed:
        reasons = Counter(map(_explain, failed))
        why = "; ".join(reasons)
        message = f"{pacs} did not store {len(failed)} of {sent} instances: {why}"
        raise ArchiveError(message, code="archive_not_stored")
    if stored < sent:
        message = f"{pacs} does not say that it stored all of {sent} instances; look whether they are there"
        raise ArchiveBroken(message, code="archive_not_stored")


def _items(told: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    found = told.get(tag)
    values = found.get("Value") if isinstance(found, dict) else None
    return [item for item in values if isinstance(item, dict)] if isinstance(values, list) else []


def _explain(reason: int | None) -> str:
    if reason is None:
        return "it does not say why"
    known = _REASONS.get(reason) or _REASONS.get(reason & 0xFF00) or _REASONS.get(reason & 0xF000)
    return f"{known or 'for a reason of its own'} ({reason:04X})"

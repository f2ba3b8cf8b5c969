"""Which instance a DICOM file says it is: the one place where UIDs leave this package as they are."""

from dataclasses import dataclass

from radserve_imaging.errors import MalformedDicomError, MissingAttributeError
from radserve_imaging.limits import Limits
from radserve_imaging.media import sniff
from radserve_imaging.part10 import open_part10
from radserve_imaging.tags import (
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    describe,
)

_DICOM = "application/dicom"


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of study, series and instance, and of what kind of object it is; for comparing, not for telling."""

    study: str
    series: str
    instance: str
    sop_class: str | None


def read_identity(data: bytes, limits: Limits) -> Identity:
    """Out of a DICOM file's data set; raises ImagingError naming the tag that is missing."""
    if sniff(data) != _DICOM:
        raise MalformedDicomError("these bytes are no DICOM file")
    attributes = open_part10(data, limits).attributes
    found: list[str] = []
    for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID):
        uid = attributes.text(tag)
        if uid is None:
            raise MissingAttributeError(f"{describe(tag)} is missing", tag=describe(tag))
        found.append(uid)
    return Identity(found[0], found[1], found[2], attributes.text(SOP_CLASS_UID))

"""Which configured archive a work item means: for its images (PS3.3 table 10-3b), and for the reports on them."""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from radserve_server.errors import InvalidRequest
from radserve_server.pacs.archive import INTAKE, Archive, Archives
from radserve_server.worklist.dicom_json import name_tag

Ways = Sequence[tuple[str, str]]
_RETRIEVAL: Ways = (("WADORSRetrievalSequence", "RetrieveURL"), ("DICOMRetrievalSequence", "RetrieveAETitle"))
_OTHER_RETRIEVAL = ("DICOMMediaRetrievalSequence", "WADORetrievalSequence", "XDSRetrievalSequence")
_STORAGE: Ways = (("STOWRSStorageSequence", "StorageURL"), ("DICOMStorageSequence", "DestinationAE"))
_OTHER_STORAGE = ("XDSStorageSequence",)


def find_source(given: Dataset, archives: Archives) -> Archive:
    """Of an item of Input Information Sequence; the only archive configured if it does not say."""
    named = _find_named(given, _RETRIEVAL, _OTHER_RETRIEVAL, archives)
    return named or archives.get(None, "InputInformationSequence")


def find_destination(dataset: Dataset, sources: Sequence[str], archives: Archives) -> str:
    """The name of the archive that the reports go to: as Output Destination Sequence says, or to the images."""
    for wanted in dataset.get("OutputDestinationSequence") or ():
        named = _find_named(wanted, _STORAGE, _OTHER_STORAGE, archives)
        if named is not None:
            return named.name
    kept = [name for name in sources if name != INTAKE]
    found = kept[0] if kept else archives.get(None, "OutputDestinationSequence").name
    if found == INTAKE:
        raise refuse("OutputDestinationSequence", "the images were pushed here, and no archive takes reports")
    return found


def refuse(keyword: str, message: str) -> InvalidRequest:
    """An error that names the attribute."""
    named = name_tag(int(tag_for_keyword(keyword) or 0))
    return InvalidRequest(f"{named}: {message}", code="unsupported_workitem", param=keyword)


def _find_named(item: Dataset, ways: Ways, others: Sequence[str], archives: Archives) -> Archive | None:
    """By address or by name as AE title, None if it names neither: nothing but configured archives is reached."""
    named = [
        (sequence, str(one.get(keyword))) for sequence, keyword in ways for one in item.get(sequence) or ()
    ]
    if not named:
        other = next((keyword for keyword in others if item.get(keyword)), None)
        if other is not None:
            raise refuse(
                other, f"of the ways to an archive, {' and '.join(way for way, _ in ways)} are understood"
            )
        return None
    for archive in archives.by_name.values():
        if any(value == archive.name or _is_within(archive, value) for _, value in named):
            return archive
    known = ", ".join(archives.by_name) or "none"
    raise refuse(named[0][0], f"it names none of the configured archives ({known})")


def _is_within(archive: Archive, address: str) -> bool:
    known = None if archive.url is None else archive.url.rstrip("/")
    return known is not None and (address == known or address.startswith(f"{known}/"))

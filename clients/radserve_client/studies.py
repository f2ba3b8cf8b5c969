"""DICOM files for the demonstration's archive: pydicom's own, or a folder's."""

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from radserve_client.errors import RadserveError
from radserve_client.orthanc import Orthanc

# An MR of the liver, a CT of the chest, an ultrasound (JPEG 2000): pydicom's package has them (MIT licence).
_SAMPLES = ("examples_overlay.dcm", "CT_small.dcm", "examples_jpeg2k.dcm")
_PREAMBLE, _MAGIC = 128, b"DICM"  # PS3.10 7.1


def sample_files() -> Sequence[Path]:
    """The sample studies of one image each; the first is the one to open."""
    spec = importlib.util.find_spec("pydicom")
    if spec is None or spec.origin is None:
        raise RadserveError("pydicom is missing: pip install 'radserve[server,cpu]'")
    folder = Path(spec.origin).parent / "data" / "test_files"
    return [folder / name for name in _SAMPLES]


def find_files(folder: Path) -> Sequence[Path]:
    """The DICOM files in `folder` and below it, or the one file that it is; raises RadserveError for none."""
    places = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
    found = [place for place in places if place.is_file() and _is_dicom(place)]
    if not found:
        raise RadserveError(f"{folder} holds no DICOM file")
    return found


def load(orthanc: Orthanc, files: Iterable[Path]) -> Sequence[str]:
    """Put the files into the archive; the Study Instance UIDs, in the order of the files. Raises RadserveError.

    A file that the archive refuses, such as one that is cut off, is left out, and that is said.
    """
    from pydicom import dcmread

    studies: dict[str, None] = {}
    refused = []
    for file in files:
        header = dcmread(file, specific_tags=["StudyInstanceUID"], stop_before_pixels=True)
        if "StudyInstanceUID" not in header:  # a DICOMDIR has none
            continue
        try:
            orthanc.upload(file.read_bytes())
        except RadserveError as error:
            refused.append(f"{file}: {error}")
        else:
            studies[str(header.StudyInstanceUID)] = None
    for reason in refused:
        print(f"Left out {reason}", file=sys.stderr)
    if not studies:
        raise RadserveError("there is no study in these files")
    return list(studies)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC

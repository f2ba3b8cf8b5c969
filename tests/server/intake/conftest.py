"""A gateway that takes pushes in, and dcmtk to push with."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from radserve_server.fake import FakeBackend

SERIES = Path(__file__).parents[4] / "shared/data/dicom/series"
HEAD, SPINE = SERIES / "ct-head-ge", SERIES / "mr-t1-sag"
UID = "1.2.826.0.1.3680043.8.498.77"
PEER = """
[listener]
ae_title = "RADSERVE"
port = 0
[[peers]]
ae_title = "CT1"
"""


@dataclass(frozen=True)
class Ward:
    """A gateway whose intake listens, and what the tests ask of it."""

    gateway: Any

    @property
    def port(self) -> int:
        return self.gateway.services.intake.port

    @property
    def spool(self) -> Any:
        return self.gateway.services.archives.get("intake", "pacs")

    def push(self, program: str, *files: Path, caller: str = "CT1", called: str = "RADSERVE", more=()):
        """Run storescu, dcmsend or echoscu to its end."""
        if shutil.which(program) is None:
            pytest.skip(f"{program} of Debian's dcmtk is not installed")
        command = [
            program,
            "-aet",
            caller,
            "-aec",
            called,
            *more,
            "127.0.0.1",
            str(self.port),
            *map(str, files),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def kept(self, study: str) -> int:
        state = self.spool.state(study)
        return 0 if state is None else len(state.instances)

    def count(self, line: str) -> float:
        text = self.gateway.http.get("/metrics").text
        return float(next((row.split()[-1] for row in text.splitlines() if row.startswith(f"{line} ")), 0))

    def search(self, study: str) -> dict[str, Any]:
        return self.gateway.http.post("/v1/answers/search", json={"study": study}).raise_for_status().json()

    def ask(self, study: str, question: str = "Is there a bleed?"):
        reference = {"study": study, "pacs": "intake"}
        return self.gateway.http.post("/v1/vqa", json={"question": question, "image_dicom": [reference]})


@pytest.fixture(scope="session")
def open_ward(start, tmp_path_factory) -> Callable[..., Any]:
    """Starts a gateway with these lines in its intake file."""
    from contextlib import contextmanager

    @contextmanager
    def opened(lines: str = PEER, backend: FakeBackend | None = None, **settings: Any) -> Iterator[Ward]:
        path = tmp_path_factory.mktemp("intake") / "intake.toml"
        path.write_text(lines)
        with start(backend or FakeBackend(), intake_file=path, **settings) as gateway:
            yield Ward(gateway)

    return opened


@pytest.fixture(scope="session")
def ward(open_ward) -> Iterator[Ward]:
    """Shared by the tests that need no settings of their own."""
    with open_ward() as ward:
        yield ward


@pytest.fixture(scope="session")
def peer() -> str:
    """The lines of an intake file that let one peer push."""
    return PEER


@pytest.fixture(scope="session")
def make_series(tmp_path_factory) -> Callable[..., list[Path]]:
    """Slices of a study of its own, made of one of pydicom's files: stacked, and otherwise as it is."""

    def make(number: int, count: int = 2, name: str = "CT_small.dcm", **attributes: Any) -> list[Path]:
        source = get_testdata_file(name, download=False)
        folder = tmp_path_factory.mktemp("series")
        files = []
        for index in range(count):
            dataset = pydicom.dcmread(source)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID}.{number}", f"{UID}.{number}.1"
            dataset.SOPInstanceUID = f"{UID}.{number}.1.{index + 1}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            if "ImagePositionPatient" in dataset:
                dataset.ImagePositionPatient[2] = 5.0 * index
            for keyword, value in attributes.items():
                setattr(dataset, keyword, value)
            files.append(folder / f"{index:02}.dcm")
            dataset.save_as(files[-1])
        return files

    return make


@pytest.fixture(scope="session")
def head(make_series) -> list[Path]:
    """A real CT of the head; where the data is not there, a dozen slices made of one."""
    return sorted(HEAD.glob("*.dcm")) or make_series(1, 12)


@pytest.fixture(scope="session")
def spine(make_series) -> list[Path]:
    """A real MR of a spine, or likewise."""
    return sorted(SPINE.glob("*.dcm")) or make_series(2, 12, "MR_small.dcm")


@pytest.fixture(scope="session")
def study_of() -> Callable[[list[Path]], str]:
    return lambda files: str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """An authority's, and those of listener and peer with their keys, as PEM files of a folder."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "scp", "scu"):
        issuer = [] if name == "ca" else ["-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"]
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]
        files = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"]
        subprocess.run([*command, "-subj", f"/CN={name}", *files, *issuer], check=True, capture_output=True)
    return folder

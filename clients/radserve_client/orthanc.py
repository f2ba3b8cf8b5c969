"""Orthanc, Debian's archive, on free ports of loopback for the time of a block: for the demo and for tests."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from radserve_client.errors import RadserveError
from radserve_client.ports import free_ports

AE_TITLE = "ORTHANC"
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_START_S, _STOP_S = 30.0, 10.0


@dataclass(frozen=True, slots=True)
class Orthanc:
    """Where it listens: its own address, its DICOMweb address, and its DICOM port under `aet`."""

    url: str
    dicom_port: int
    aet: str = AE_TITLE

    @property
    def dicom_web(self) -> str:
        """The DICOMweb root."""
        return f"{self.url}/dicom-web"

    def upload(self, data: bytes) -> None:
        """Put one DICOM file into it; raises RadserveError if it is refused."""
        response = httpx.post(f"{self.url}/instances", content=data, timeout=60)
        if response.is_error:
            raise RadserveError(f"Orthanc refused a file: HTTP {response.status_code}")


def why_no_orthanc() -> str | None:
    """What is missing of it on this machine, and the way to get it; None if nothing is."""
    if shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin") and _PLUGIN.exists():
        return None
    return "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb"


@contextmanager
def running_orthanc(folder: Path) -> Iterator[Orthanc]:
    """Up inside the block, gone after it; what it stores and says lies in `folder`. Raises RadserveError."""
    if missing := why_no_orthanc():
        raise RadserveError(missing)
    folder.mkdir(parents=True, exist_ok=True)
    http_port, dicom_port = free_ports(2)
    orthanc = Orthanc(f"http://127.0.0.1:{http_port}", dicom_port)
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(_configure(folder, http_port, dicom_port), indent=1))
    program = str(shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin"))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen(
            [program, str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            _wait(process, orthanc, folder)
            yield orthanc
        finally:
            _end(process)


def _configure(folder: Path, http_port: int, dicom_port: int) -> dict[str, object]:
    return {
        "Name": "radserve",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [str(_PLUGIN)],
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": AE_TITLE,
        "DicomAlwaysAllowStore": True,
        "DicomCheckCalledAet": False,
        "RemoteAccessAllowed": False,  # loopback only
        "AuthenticationEnabled": False,
        "HttpDescribeErrors": True,
        "StorageCompression": False,
        "DefaultEncoding": "Utf8",
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
    }


def _wait(process: subprocess.Popen[bytes], orthanc: Orthanc, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{orthanc.url}/system", timeout=1).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise RadserveError(f"Orthanc did not start; its own words are in {folder / 'orthanc.log'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

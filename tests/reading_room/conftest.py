"""OHIF with the panel in a headless Chromium, before the real Orthanc and a gateway: made once for a module's tests.

Screenshots go to runs/reading-room, for a person to look at.
"""

import io
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import uvicorn
from playwright.sync_api import Browser, Locator, Page, Request, sync_playwright
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import UltrasoundMultiFrameImageStorage, generate_uid

from radserve_client.orthanc import Orthanc
from radserve_server.app import create_app
from radserve_server.errors import ArchiveError, GatewayUnreachable
from radserve_server.fake import MANIFEST, FakeBackend
from radserve_server.owned_server import serving
from radserve_server.serve import configure
from radserve_server.settings import Settings
from radserve_server.viewer.app import create_viewer
from radserve_server.viewer.bundle import default_folder, is_there, panel_folder
from radserve_server.viewer.settings import ViewerSettings
from radserve_server.viewer.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]
HEAD = ROOT.parent / "shared" / "data" / "dicom" / "series" / "ct-head-ge"
PICTURES = ROOT / "runs" / "reading-room"
WAIT_MS = 30_000
# Software rendering, and nothing that the browser would ask for on its own account.
FLAGS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PLACES = ("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "FrameOfReferenceUID")
STUDIES = ("head", "prior_head", "many_frames", "blocks", "negative", "volume", "segmented")
SIDE = 512  # of what the fake engine sees: a CT as it is, so that its pixels can be compared one by one


@dataclass(frozen=True)
class Study:
    """Its UID, and its files in the order of their places."""

    uid: str
    files: tuple[bytes, ...]

    def instance(self, index: int) -> str:
        return str(self.header(index).SOPInstanceUID)

    def header(self, index: int) -> pydicom.Dataset:
        return pydicom.dcmread(io.BytesIO(self.files[index]))


@dataclass
class Viewer:
    """The viewer in a page, as a reader has it; `asked` are the requests of the page and its workers."""

    page: Page
    url: str
    asked: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def panel(self) -> Locator:
        return self.page.get_by_role("region", name="Ask about the image")

    @property
    def line(self) -> Locator:
        """What the panel says that is shown."""
        return self.panel.locator(".rs-shown")

    @property
    def question(self) -> Locator:
        return self.panel.get_by_role("textbox", name="Question")

    @property
    def newest(self) -> Locator:
        return self.panel.get_by_role("article").first

    def open(self, study: Study) -> None:
        """Wait until an image is drawn, and the panel knows its window."""
        self.page.goto(f"{self.url}/viewer?StudyInstanceUIDs={study.uid}")
        self.panel.locator(".rs-shown", has_text=re.compile(r"W\s\d")).wait_for()

    def ask(self, question: str) -> dict[str, Any]:
        """Type and send a question; what the gateway answers at its end."""
        self.question.fill(question)
        self.question.press("Enter")
        self.settle()
        return dict(read_answer(self.page.evaluate("window.heard")))

    def read(self, text: str) -> None:
        """Wait until the newest answer says so."""
        self.newest.locator(".rs-text", has_text=text).wait_for()

    def choose(self, scope: str) -> None:
        """This image, Series, or With prior."""
        self.panel.get_by_role("radiogroup").get_by_text(scope, exact=True).click()

    def scroll(self) -> None:
        """One slice on, by the wheel, until the panel has seen it."""
        before = self.line.text_content()
        self.page.mouse.move(700, 450)
        self.page.mouse.wheel(0, 100)
        self.until(lambda: self.line.text_content() != before)

    def settle(self, within_ms: int = WAIT_MS) -> None:
        """Wait until the newest answer is no longer on its way."""
        self.newest.and_(self.page.locator(":not([data-state=running])")).wait_for(timeout=within_ms)

    def sent(self, path: str = "/v1/vqa") -> dict[str, Any]:
        """The body of the last request there."""
        request = [one for one in self.asked if one.url == self.url + path][-1]
        return dict(request.post_data_json)

    def shown(self) -> dict[str, Any]:
        """What the viewer itself says that it shows."""
        return dict(self.page.evaluate(SHOWN))

    def until(self, wanted: Callable[[], object]) -> None:
        """Wait for what the page does by itself."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while not wanted():
            assert time.monotonic() < deadline, "it did not come to that in time"
            self.page.wait_for_timeout(20)

    def take_picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")


SHOWN = """() => {
  const { viewportGridService, cornerstoneViewportService } = window.services;
  const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportGridService.getActiveViewportId());
  const [, instance, frame] = /instances\\/([^/]+)\\/frames\\/(\\d+)/.exec(viewport.getCurrentImageId());
  return { instance, frame: Number(frame), ...viewport.getProperties().voiRange };
}"""


# Chromium's debugger forgets the bodies of streams, so the page keeps a copy of the last.
LISTEN = """
const { fetch } = window;
window.fetch = async (...given) => {
  const response = await fetch(...given);
  if (given[0] === '/v1/vqa') window.heard = response.clone().text();
  return response;
};
"""


def read_answer(stream: str) -> dict[str, Any]:
    """The data of the stream's last event: the answer, or the error."""
    last = stream.strip().split("\n\n")[-1]
    found = json.loads(last.split("data:", 1)[1]) if "data:" in last else json.loads(last)
    return dict(found)


@pytest.fixture(scope="session")
def bundle() -> Path:
    """OHIF's files."""
    folder = default_folder()
    if not is_there(folder):
        pytest.skip("OHIF is not there: radserve ohif --fetch (it needs npm)")
    return folder


@pytest.fixture(scope="module")
def browser(bundle: Path) -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS)


@pytest.fixture(scope="module")
def look(browser: Browser) -> Iterator[Callable[[str], Viewer]]:
    """Opens a page on a viewer's address, as a reader who has closed the viewer's greetings."""
    with ExitStack() as pages:

        def open_page(url: str) -> Viewer:
            context = pages.enter_context(browser.new_context(viewport={"width": 1440, "height": 900}))
            context.set_default_timeout(WAIT_MS)
            context.add_init_script(GREETED + LISTEN)
            viewer = Viewer(context.new_page(), url)
            context.on("request", lambda request: viewer.asked.append(request))
            context.on("weberror", lambda error: viewer.complaints.append(str(error.error)))
            viewer.page.on(
                "console",
                lambda said: viewer.complaints.append(said.text) if said.type == "error" else None,
            )
            return viewer

        yield open_page


GREETED = """
localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']));
localStorage.setItem('investigationalUseDialog', JSON.stringify({ expiryDate: '2999-01-01T00:00:00Z' }));
"""


@dataclass
class Room:
    """A viewer's address, and the engine behind its gateway."""

    url: str
    backend: FakeBackend


@pytest.fixture(scope="session")
def furnish(bundle: Path) -> Callable[..., AbstractContextManager[Room]]:
    """A reading room with the fake engine: `archive` is what OHIF shows, settings are the gateway's."""

    @contextmanager
    def room(archive: str, **settings: Any) -> Iterator[Room]:
        policy = {"width": SIDE, "height": SIDE, "max_images": 2}
        backend = FakeBackend(token_delay_s=0.02, manifest={**MANIFEST, "image_policy": policy})
        given = Settings(**{"render_workers": 1, "port": 0, **settings})
        with serving(uvicorn.Server(configure(given, create_app(given, backend)))) as gateway:
            viewer = create_viewer(
                ViewerSettings(
                    archive=Upstream("the archive", archive, ArchiveError),
                    gateway=Upstream("the gateway", gateway, GatewayUnreachable),
                    bundle=bundle,
                    panel=panel_folder(),
                    pacs_name="pacs",
                )
            )
            configured = uvicorn.Config(viewer, port=0, log_config=None, access_log=False)
            with serving(uvicorn.Server(configured)) as url:
                yield Room(url, backend)

    return room


@pytest.fixture(scope="session")
def head() -> Study:
    """A head CT: 28 real slices, or one real slice at 12 places."""
    return make_head("20240506")


@pytest.fixture(scope="session")
def prior_head() -> Study:
    """The same patient, two years earlier."""
    return make_head("20220102")


@pytest.fixture(scope="session")
def many_frames() -> Study:
    """Ten frames in one object, as ultrasound has them: a real slice that moves."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    grey = np.clip(dataset.pixel_array / 8, 0, 255).astype(np.uint8)
    for keyword in (
        *PLACES,
        "DataSetTrailingPadding",
        "PixelPaddingValue",
        "RescaleSlope",
        "RescaleIntercept",
    ):
        dataset.pop(keyword, None)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    dataset.Modality, dataset.NumberOfFrames, dataset.FrameTime = "US", 10, "40"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = b"".join(np.roll(grey, 9 * step, axis=1).tobytes() for step in range(10))
    return rename([dataset])


@pytest.fixture(scope="session")
def blocks() -> Study:
    """A CT of 256 flat blocks, 32 px wide, whose values cover the range, and lie close where tissue lies."""
    return make_blocks("CT", "MONOCHROME2")


@pytest.fixture(scope="session")
def negative() -> Study:
    """The same as an X-ray whose high values are dark."""
    return make_blocks("CR", "MONOCHROME1")


@pytest.fixture(scope="session")
def volume() -> Study:
    """Eight slices that lie evenly, so that the viewer makes other planes of them."""
    path = str(get_testdata_file("CT_small.dcm", download=False))
    datasets = [pydicom.dcmread(path) for _ in range(8)]
    for number, dataset in enumerate(datasets, 1):
        dataset.InstanceNumber, dataset.SliceThickness = number, 5
        dataset.ImagePositionPatient = [-40, -40, 5 * number]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    return rename(datasets)


@pytest.fixture(scope="session")
def segmented() -> Study:
    """A slice, and a segmentation that covers a part of it."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    dataset.PatientBirthDate = dataset.AccessionNumber = ""
    study = rename([dataset])
    mask = np.zeros((1, dataset.Rows, dataset.Columns), np.uint8)
    mask[:, 40:80, 40:80] = 1
    segment = hd.seg.SegmentDescription(
        1, "square", codes.SCT.Tissue, codes.SCT.Tissue, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    device = {"manufacturer_model_name": "test", "software_versions": "1", "device_serial_number": "1"}
    segmentation = hd.seg.Segmentation(
        [study.header(0)],
        mask,
        hd.seg.SegmentationTypeValues.BINARY,
        [segment],
        series_instance_uid=generate_uid(),
        series_number=90,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="radserve",
        **device,
    )
    out = io.BytesIO()
    segmentation.save_as(out)
    return Study(study.uid, (*study.files, out.getvalue()))


@pytest.fixture(scope="session")
def loaded(request: pytest.FixtureRequest, orthanc: Orthanc) -> Orthanc:
    """Orthanc with all the studies."""
    for study in map(request.getfixturevalue, STUDIES):
        for data in study.files:
            orthanc.upload(data)
    return orthanc


def make_blocks(modality: str, interpretation: str) -> Study:
    values = np.concatenate([np.linspace(-1024, 3071, 128), np.linspace(-200, 300, 64), np.arange(8, 72)])
    values = np.random.default_rng(7).permutation(np.round(values) + 1024).astype(np.uint16).reshape(16, 16)
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm", download=False)))
    for keyword in ("DataSetTrailingPadding", "PixelPaddingValue"):
        dataset.pop(keyword, None)
    dataset.Modality, dataset.PhotometricInterpretation = modality, interpretation
    dataset.Rows = dataset.Columns = SIDE
    dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 0, 1, -1024
    dataset.WindowCenter, dataset.WindowWidth = 40, 400
    dataset.PixelData = np.kron(values, np.ones((32, 32), np.uint16)).tobytes()
    return rename([dataset])


def make_head(date: str) -> Study:
    datasets = [pydicom.dcmread(path) for path in sorted(HEAD.glob("*.dcm"))]
    if not datasets:
        path = str(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False))
        datasets = [pydicom.dcmread(path) for _ in range(12)]
        for number, dataset in enumerate(datasets, 1):
            dataset.InstanceNumber = number
            dataset.ImagePositionPatient = [0, 0, 5 * number]
    for dataset in datasets:
        dataset.StudyDate = date
    return rename(datasets)


def rename(datasets: Sequence[pydicom.Dataset]) -> Study:
    """As a study of the reading room's own patient, so that other studies of the archive are not mixed in."""
    study, series = generate_uid(), generate_uid()
    files = []
    for dataset in datasets:
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.PatientID, dataset.PatientName = "reading-room", "Room^Reading"
        out = io.BytesIO()
        dataset.save_as(out)
        files.append(out.getvalue())
    return Study(study, tuple(files))

"""The client and the command against a gateway on a real socket, with the fake engine behind it."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest
import uvicorn
from pydicom.data import get_testdata_file

from radserve_client import (
    Answer,
    AnswerBroken,
    AsyncClient,
    Client,
    InvalidRequest,
    ServerBusy,
    ServerUnreachable,
)
from radserve_client.cli import main
from radserve_server.app import create_app
from radserve_server.fake import CONFIDENCE, FakeBackend
from radserve_server.serve import configure
from radserve_server.settings import Settings

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def ct() -> Path:
    return Path(str(get_testdata_file("CT_small.dcm", download=False)))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def url(backend: FakeBackend) -> Iterator[str]:
    settings = Settings(port=0, render_workers=1, probe_interval_s=0.05)
    server = uvicorn.Server(configure(settings, create_app(settings, backend)))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


async def test_an_answer_streams_in_pieces_and_ends_whole(url: str, ct: Path, backend: FakeBackend) -> None:
    backend.token_delay_s = 0.02
    async with AsyncClient(url) as client:
        items = [item async for item in client.stream([ct], "Is this a CT?")]
    *pieces, answer = items
    assert isinstance(answer, Answer)
    assert len(pieces) > 1
    assert "".join(map(str, pieces)) == answer.text == "".join(backend.words)
    assert answer.clinical["images"][0]["modality"] == "CT"


def test_the_blocking_client_does_the_same(url: str, ct: Path) -> None:
    with Client(url) as client:
        assert client.ready()
        assert client.ask([ct], "Is this a CT?", max_tokens=2).usage["completion_tokens"] == 2
        (rendered,) = client.render(ct.read_bytes())
    assert rendered.png.startswith(PNG_SIGNATURE)
    assert rendered.record["size_out"] == [224, 224]


def test_a_refusal_keeps_the_servers_words(url: str, tmp_path: Path) -> None:
    with Client(url) as client, pytest.raises(InvalidRequest) as refused:
        client.upload(b"this is a letter, not an image")
    assert refused.value.status in (400, 415)
    assert refused.value.code == "not_an_image"


def test_a_busy_server_says_when_to_come_back(url: str, ct: Path, backend: FakeBackend) -> None:
    with Client(url) as client:
        image_id = client.upload(ct)
        backend.down = True
        with pytest.raises(ServerBusy) as busy:
            client.ask([ct], "Is this a CT?")
    assert image_id.startswith("sha256-")
    assert busy.value.status == 503
    assert busy.value.retry_after is not None and busy.value.retry_after >= 1


def test_an_answer_that_breaks_off_is_no_answer(url: str, ct: Path, backend: FakeBackend) -> None:
    backend.fail_after, backend.token_delay_s = 2, 0.01
    with Client(url) as client, pytest.raises(AnswerBroken):
        client.ask([ct], "Is this a CT?")


def test_no_server_is_told_with_its_address() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
        client.models()


async def test_a_stream_cut_short_by_a_proxy_is_no_answer(ct: Path) -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/images":
            return httpx.Response(200, json={"image_id": "x"})
        return httpx.Response(200, text='event: delta\ndata: {"delta": "No"}\n\n')

    async with AsyncClient("http://proxy", transport=httpx.MockTransport(cut)) as client:
        with pytest.raises(AnswerBroken):
            await client.ask([ct], "Is this a CT?")


def test_the_command_asks_and_renders(
    url: str, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(ct), "--question", "Is this a CT?", "--url", url, "--record"]) == 0
    said = capsys.readouterr().out
    assert "No acute abnormality is seen." in said
    assert "TTFT" in said and "modality" in said
    out = tmp_path / "seen.png"
    assert main(["render", str(ct), "--out", str(out), "--window", "40", "80", "--url", url]) == 0
    assert out.read_bytes().startswith(PNG_SIGNATURE)
    assert "center 40.0, width 80.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        ({"confidence": 0.832, "abstained": False}, "   confident (83 %)"),
        ({"confidence": 0.412, "abstained": True}, "   not confident (41 %)"),
        (
            {"confidence": None, "abstained": None, "reason": "not calibrated"},
            "   confidence unknown: not calibrated",
        ),
    ],
)
def test_the_command_says_how_sure_the_model_is(
    url: str,
    ct: Path,
    backend: FakeBackend,
    capsys: pytest.CaptureFixture[str],
    judged: dict[str, object],
    words: str,
) -> None:
    backend.confidence = {**CONFIDENCE, **judged}
    assert main(["ask", str(ct), "--question", "Is this a CT?", "--url", url]) == 0
    said = capsys.readouterr().out
    assert words in said.splitlines()
    assert ("!" in said) is (judged["abstained"] is True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ask", "/nowhere.dcm", "-q", "?"], "/nowhere.dcm"),
        (["ask", __file__, "-q", "?"], "DICOM"),
        (["render", "CT", "--out", "x.png", "--frame", "9"], "frame"),
    ],
)
def test_the_command_tells_a_failure_in_one_line(
    url: str, ct: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    arguments = [str(ct) if word == "CT" else word for word in arguments]
    assert main([*arguments, "--url", url]) == 1
    told = capsys.readouterr().err
    assert told.startswith("radserve: ")
    assert words in told
    assert told.count("\n") == 1


def test_the_doctor_finds_this_machine_well(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor"])
    said = capsys.readouterr().out
    assert "Triton" in said and "Demo engine" in said
    assert status == 0, said


def test_the_doctor_tells_what_may_be_missing_apart_from_what_is_needed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    status = main(["doctor"])
    said = capsys.readouterr().out
    assert "-- " in said and "apt-get install chromium" in said
    assert status == 0, said


def test_a_new_key_fits_its_line_in_the_key_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from radserve_server.auth import Keyring

    assert main(["key", "viewer"]) == 0
    key, line = (text.partition(": ")[2].strip() for text in capsys.readouterr().out.splitlines())
    (tmp_path / "keys").write_text(line)
    assert Keyring.load(tmp_path / "keys").owner(key) == "viewer"


def test_the_client_alone_needs_httpx_only() -> None:
    program = (
        "import sys, radserve_client, radserve_client.cli; import json;"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )

    async def loaded() -> set[str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
        )
        return set(json.loads((await process.communicate())[0]))

    assert not asyncio.run(loaded()) & {"fastapi", "numpy", "pydicom", "tritonclient", "openvino", "torch"}


def test_a_command_without_its_package_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "radserve_server.auth", None)
    assert main(["key", "viewer"]) == 1
    assert "pip install 'radserve[server,cpu]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def folder(ct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five slices named against their order, a localizer, and a letter."""
    where = tmp_path_factory.mktemp("series")
    for number in range(6):
        dataset = pydicom.dcmread(ct)
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.ImagePositionPatient = [-158.1, -179.0, 100 - 5 * number]
        if number == 5:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.save_as(where / f"{number}.dcm")
    (where / "letter.txt").write_text("Dear colleague")
    return where


def test_the_command_asks_about_a_folder_as_one_series(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(folder), "-q", "Is this a CT?", "--slices", "3", "--record", "--url", url]) == 0
    said = capsys.readouterr()
    assert "No acute abnormality is seen." in said.out
    assert said.out.count("source_sha256") == 3
    assert "letter.txt is left out" in said.err and "1 of 6 images left out: localizer" in said.err
    assert "series 1: CT, 5 slices" in said.err


def test_the_command_renders_the_slices_that_are_asked_for(
    url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "seen.png"
    wish = ["--slice", "2", "--neighbours", "1", "--window", "bone"]
    assert main(["render", str(folder), "--out", str(out), *wish, "--url", url]) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["seen-1.png", "seen-2.png", "seen-3.png"]
    assert "bone preset" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (["--series", "2"], "no series 2"),
        (["--slice", "9"], "slices 1 to 5"),
        (["--window", "40"], "a centre and a width"),
        (["--window", "pelvis"], "window"),
        (["--slice", "1", "--slices", "3"], "do not go"),
    ],
)
def test_wishes_that_cannot_be_are_told(
    url: str, folder: Path, capsys: pytest.CaptureFixture[str], wish: list[str], words: str
) -> None:
    assert main(["render", str(folder), "--out", "x.png", *wish, "--url", url]) == 1
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_inspect_says_what_a_file_is_and_why_it_is_shown_so(
    ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(ct)]) == 0
    said = capsys.readouterr().out
    for words in ("CT Image Storage", "Explicit VR Little Endian", "128 × 128", "axial", "HU", "why"):
        assert words in said
    assert main(["inspect", str(ct), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["object"]["modality"] == "CT"
    patient = pydicom.dcmread(ct)
    assert str(patient.PatientName) not in said and patient.SOPInstanceUID not in said


def test_inspect_tells_of_a_folder_how_it_is_sorted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder)]) == 0
    said = capsys.readouterr()
    assert "series 1  CT, 5 slices" in said.out and "first 4.dcm, last 0.dcm" in said.out
    assert "left out  5.dcm: localizer" in said.out and "letter.txt is left out" in said.err


def test_inspect_tells_a_fault_and_what_is_known_besides(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(ct.read_bytes()[:-1000])
    assert main(["inspect", str(cut)]) == 1
    said = capsys.readouterr().out
    assert "truncated_dicom" in said and "CT Image Storage" in said


def test_inspect_survives_a_header_that_makes_no_sense(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = pydicom.dcmread(ct)
    dataset.NumberOfFrames = 2_000_000_000
    dataset.save_as(tmp_path / "odd.dcm")
    assert main(["inspect", str(tmp_path / "odd.dcm")]) == 1
    assert "too_large" in capsys.readouterr().out

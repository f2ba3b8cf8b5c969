"""STOW-RS (PS3.18 10.5), by hand-written multipart over a real socket, and by curl."""

import shutil
import subprocess

import httpx
import pydicom
import pytest

from radserve_server.pacs.related import write_related

DICOM_JSON = "application/dicom+json"
RELATED = 'multipart/related; type="application/dicom"; boundary=xyz'


@pytest.fixture
def stow(ward):
    """Sends these bodies as the parts of one request."""

    def send(*parts: bytes, study: str = "", cut: int | None = None, **headers: str) -> httpx.Response:
        body = write_related(parts, "xyz")[:cut]
        headers = {"content-type": RELATED, "accept": DICOM_JSON, **headers}
        path = f"/dicom-web/studies/{study}" if study else "/dicom-web/studies"
        return ward.gateway.http.post(path, content=body, headers=headers)

    return send


def named(answer, tag):
    items = answer.json().get(tag, {}).get("Value", [])
    return [item["00081155"]["Value"][0] for item in items if "00081155" in item]


def reasons(answer, tag="00081198"):
    return [item["00081197"]["Value"][0] for item in answer.json()[tag]["Value"]]


def uids(files):
    return [str(pydicom.dcmread(file).SOPInstanceUID) for file in files]


def test_what_is_stored_is_named_and_answered_from(ward, stow, make_series, study_of):
    files = make_series(30, 3)
    answer = stow(*(file.read_bytes() for file in files))
    assert (answer.status_code, answer.headers["content-type"]) == (200, DICOM_JSON)
    assert named(answer, "00081199") == uids(files)
    assert pydicom.Dataset.from_json(answer.json()).ReferencedSOPSequence[0].RetrieveURL in ("", None)
    assert ward.ask(study_of(files)).status_code == 200


def test_instances_of_another_study_are_refused_one_by_one(ward, stow, make_series, study_of):
    right, wrong = make_series(31, 1), make_series(32, 1)
    answer = stow(right[0].read_bytes(), wrong[0].read_bytes(), study=study_of(right))
    assert answer.status_code == 202
    assert (named(answer, "00081199"), named(answer, "00081198")) == (uids(right), uids(wrong))
    assert reasons(answer) == [0xA900]
    assert "another study" in answer.headers["warning"]
    assert (ward.kept(study_of(right)), ward.kept(study_of(wrong))) == (1, 0)


def test_when_nothing_is_stored_it_is_a_conflict(ward, stow, make_series, study_of):
    files = make_series(33, 1)
    wrong = stow(files[0].read_bytes(), study="1.2.3")
    assert (wrong.status_code, named(wrong, "00081198")) == (409, uids(files))
    nonsense = stow(b"no DICOM at all")
    assert (nonsense.status_code, reasons(nonsense, "0008119A")) == (409, [0xC000])
    assert ward.kept(study_of(files)) == 0


def test_a_transfer_syntax_that_is_not_read_is_refused(stow, make_series):
    (file,) = make_series(34, 1, "JPEG2000.dcm")
    film = file.read_bytes().replace(b"1.2.840.10008.1.2.4.91", b"1.2.840.10008.1.2.4.99")
    answer = stow(film)
    assert (answer.status_code, reasons(answer, "0008119A")) == (409, [0xC122])


@pytest.mark.parametrize(
    ("headers", "status", "param"),
    [
        ({"content-type": "application/dicom+json"}, 415, "Content-Type"),
        (
            {"content-type": 'multipart/related; type="application/dicom+xml"; boundary=xyz'},
            415,
            "Content-Type",
        ),
        ({"content-type": "multipart/related; type=application/dicom"}, 400, "Content-Type"),
        ({"accept": "application/dicom+xml"}, 406, "Accept"),
    ],
)
def test_what_is_not_taken_is_refused_by_name(ward, stow, make_series, study_of, headers, status, param):
    files = make_series(35, 1)
    answer = stow(files[0].read_bytes(), **headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert ward.kept(study_of(files)) == 0


def test_a_body_that_is_cut_off_is_said_to_be(ward, stow, make_series, study_of):
    files = make_series(36, 2)
    answer = stow(*(file.read_bytes() for file in files), cut=-100)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_multipart")
    assert ward.kept(study_of(files)) == 1  # the part that was whole


def test_limits_of_an_instance_and_of_a_body(open_ward, make_series):
    (file,) = make_series(37, 1)
    size = file.stat().st_size
    with open_ward(f"[limits]\ninstance_bytes = {size}\npush_bytes = {2 * size}\n") as ward:
        assert ward.port == 0  # no listener is set
        for parts in ([file.read_bytes() + b"0"], [file.read_bytes()] * 3):
            body, headers = write_related(parts, "xyz"), {"content-type": RELATED}
            answer = ward.gateway.http.post("/dicom-web/studies", content=body, headers=headers)
            assert answer.status_code == 413


def test_a_push_that_is_larger_than_all_bodies_leaves_room_for_questions(open_ward, make_series, study_of):
    files = make_series(39, 4)
    study, size = study_of(files), files[0].stat().st_size
    answers = []

    def body():
        delimiter = b"--xyz\r\n"
        first, *others = write_related([file.read_bytes() for file in files], "xyz").split(delimiter)[1:]
        yield delimiter + first
        for number, part in enumerate(others, 1):
            yield delimiter
            ward.gateway.until(lambda known=number: ward.kept(study) == known)
            answers.append(ward.search(study))
            yield part

    with open_ward("", bodies_bytes=2 * size) as ward:
        answer = ward.gateway.http.post(
            "/dicom-web/studies", content=body(), headers={"content-type": RELATED}
        )
        assert answer.status_code == 200, answer.text
        assert (ward.kept(study), len(answers)) == (len(files), len(files) - 1)


def test_nothing_is_taken_where_no_intake_is_set_and_none_without_a_key(start, open_ward, tmp_path):
    from radserve_server.auth import hash_key
    from radserve_server.fake import FakeBackend

    with start(FakeBackend()) as gateway:
        answer = gateway.http.post("/dicom-web/studies", content=b"", headers={"content-type": RELATED})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "intake_off")
        question = {"question": "?", "image_dicom": [{"study": "1.2", "pacs": "intake"}]}
        assert gateway.http.post("/v1/vqa", json=question).json()["error"]["code"] == "unknown_pacs"
    keys = tmp_path / "keys"
    keys.write_text(f"reader:{hash_key('secret')}\n")
    with open_ward("", api_keys_file=keys) as ward:
        assert ward.gateway.http.post("/dicom-web/studies").status_code == 401
        assert ward.gateway.http.post("/v1/answers/search").status_code == 401


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_stores_a_file(ward, make_series, study_of):
    (file,) = make_series(38, 1)
    url = f"{ward.gateway.url}/dicom-web/studies"
    command = ["curl", "-sS", "-f", url, "-H", "Content-Type: application/dicom", "--data-binary", f"@{file}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "00081199" in done.stdout
    assert ward.kept(study_of([file])) == 1

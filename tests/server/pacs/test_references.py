"""What may be named in an archive: instances, frames, series, studies; in which order; and what is refused."""

import base64
import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from radserve_server.fake import FakeBackend
from radserve_server.pacs.fake import FakeArchive, running_fake_archive


@pytest.fixture(scope="module")
def study(slice_of):
    """Two CT series, of 3 and of 5 slices."""
    uid = generate_uid()
    return [
        [slice_of(uid, series, place) for place in range(count)]
        for series, count in ((generate_uid(), 3), (generate_uid(), 5))
    ]


@pytest.fixture(scope="module")
def cine(pydicom_file):
    return pydicom_file("examples_ybr_color.dcm")


@pytest.fixture(scope="module")
def report_of(pydicom_file):
    """A structured report in a study, with more instances than any series of images."""

    def make(study):
        series = generate_uid()
        for _ in range(9):
            dataset = pydicom.dcmread(io.BytesIO(pydicom_file("reportsi.dcm")))
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            out = io.BytesIO()
            dataset.save_as(out, enforce_file_format=True)
            yield out.getvalue()

    return make


@pytest.fixture(scope="module")
def archive(study, cine, report_of, name_of, pydicom_file):
    reports = report_of(name_of(study[0][0])["study"])
    files = [*reports, *study[0], *study[1], cine, pydicom_file("693_J2KI.dcm")]
    with running_fake_archive(FakeArchive(files)) as archive:
        archive.most = 2  # at a time, whatever is asked for
        yield archive


@pytest.fixture(scope="module")
def gateway(start, archive):
    with start(FakeBackend(), pacs_url=archive.url) as gateway:
        yield gateway


def clinical_of(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["clinical"]


def test_a_study_shows_its_series_with_most_images_and_says_so(gateway, study, ask, name_of):
    reference = name_of(study[0][0])
    clinical = clinical_of(ask(gateway, {"study": reference["study"]}))
    assert clinical["seen"][0]["series"] == name_of(study[1][0])["series"]
    assert any("2 series of images" in warning for warning in clinical["warnings"])
    named = clinical_of(ask(gateway, name_of(study[1][0], whole=True)))
    assert not any("series of images" in warning for warning in named["warnings"])


def test_an_instance_is_found_without_its_series(gateway, study, ask, name_of):
    reference = name_of(study[0][1])
    del reference["series"]
    (seen,) = clinical_of(ask(gateway, reference))["seen"]
    assert seen["series"] == name_of(study[0][1])["series"]


def test_frames_of_an_instance_are_fetched_once_and_shown_in_the_order_asked(
    gateway, archive, cine, ask, name_of
):
    before = archive.requests["instance"]
    clinical = clinical_of(ask(gateway, {**name_of(cine), "frames": [7, 2]}))
    assert [seen["frame"] for seen in clinical["seen"]] == [7, 2]
    assert archive.requests["instance"] == before + 1
    assert clinical["archive"]["bytes"] == len(cine)


def test_images_of_a_chat_stand_where_its_parts_do(gateway, study, ask, name_of, png, data_uri):
    """The engine gets two placeholders, a text, one placeholder, and their images in that order."""
    several = {**name_of(study[0][0]), "instances": [name_of(data)["instances"][0] for data in study[0][:2]]}
    content = [
        {"type": "image_dicom", "image_dicom": several},
        {"type": "text", "text": "and"},
        {"type": "image_url", "image_url": {"url": data_uri(png, "image/png")}},
        {"type": "text", "text": "Which is a CT?"},
    ]
    body = {"model": "fake-vqa", "messages": [{"role": "user", "content": content}]}
    clinical = clinical_of(gateway.http.post("/v1/chat/completions", json=body))
    kinds = [image["media_type"] for image in clinical["images"]]
    assert kinds == ["application/dicom", "application/dicom", "image/png"]
    (message,) = gateway.backend.questions[-1].messages
    assert [part["type"] for part in message["content"]] == ["image", "image", "text", "image", "text"]
    assert [seen.get("instance") for seen in clinical["seen"][:2]] == several["instances"]


def test_an_upload_is_not_taken_for_the_instance_whose_uid_it_has(gateway, study, ask, name_of):
    """It may have been changed since."""
    file = study[0][0]
    dataset = pydicom.dcmread(io.BytesIO(file))
    dataset.PixelData = bytes(len(dataset.PixelData))
    out = io.BytesIO()
    dataset.save_as(out)
    dicom = {"content-type": "application/dicom"}
    upload = gateway.http.post("/v1/images", content=out.getvalue(), headers=dicom).json()["image_id"]
    reference = name_of(file)
    seen = ask(gateway, reference, image_ids=[upload]).json()["clinical"]["seen"]
    assert seen[0] == {"image_id": upload, "frame": 1}
    assert (seen[1]["pacs"], seen[1]["instance"]) == ("pacs", *reference["instances"])


def test_the_window_of_a_reference_comes_before_the_request_s(gateway, study, ask, name_of):
    first = {**name_of(study[0][0]), "window": {"center": 10, "width": 50}}
    images = clinical_of(ask(gateway, first, name_of(study[0][1]), window="lung"))["images"]
    assert [image["voi"]["center"] for image in images] == [10, -600]


def test_one_reference_needs_no_list(gateway, study, name_of):
    body = {"question": "Is there a bleed?", "image_dicom": name_of(study[0][0])}
    assert clinical_of(gateway.http.post("/v1/vqa", json=body))["archive"]["cached"] >= 0


def test_render_shows_what_the_model_sees_of_an_archive(gateway, study, ask, name_of):
    reference = {**name_of(study[0][2]), "window": "bone"}
    clinical_of(ask(gateway, reference))
    sent = gateway.backend.questions[-1].images[0]
    shown = gateway.http.post(
        "/v1/render", json={"image_dicom": reference}, headers={"accept": "application/json"}
    )
    (image,), (seen,) = shown.json()["images"], shown.json()["seen"]
    picture = Image.open(io.BytesIO(base64.b64decode(image["png_base64"])))
    assert np.array_equal(np.asarray(picture.convert("RGB")), sent)
    assert seen["instance"] == reference["instances"][0]


def test_an_archive_s_transfer_syntax_is_taken_as_it_is(gateway, pydicom_file, ask, name_of):
    data = pydicom_file("693_J2KI.dcm")
    clinical = clinical_of(ask(gateway, name_of(data)))
    assert "JPEG 2000" in clinical["images"][0]["transfer_syntax"]["name"]
    assert clinical["archive"]["bytes"] == len(data)


@pytest.mark.parametrize(
    ("wrong", "param", "code"),
    [
        ({"study": "1.2/../3"}, "image_dicom.0.study", "invalid_value"),
        ({"study": "1.2", "image": "1"}, "image_dicom.0.image", "unsupported_field"),
        ({"study": "1.2", "frames": [1]}, "image_dicom.0", "invalid_value"),
        ({"study": "1.2", "pacs": "other"}, "image_dicom.0.pacs", "unknown_pacs"),
    ],
)
def test_what_cannot_be_is_refused_by_name(gateway, ask, wrong, param, code):
    answer = ask(gateway, wrong)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)


def test_more_images_than_the_engine_takes_are_refused_before_any_is_fetched(
    gateway, archive, cine, ask, name_of
):
    before = archive.requests["instance"]
    answer = ask(gateway, {**name_of(cine), "frames": [1, 2, 3, 4, 5]}, route="chat")
    assert answer.json()["error"]["code"] == "too_many_images"
    assert archive.requests["instance"] == before


def test_a_form_has_no_place_for_references(gateway, png):
    answer = gateway.http.post(
        "/v1/vqa", files={"image": png}, data={"question": "?", "image_dicom": '{"study": "1.2"}'}
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "image_dicom")
    assert "JSON" in error["message"]


def test_a_study_without_images_is_refused(start, report_of, ask):
    uid = generate_uid()
    with (
        running_fake_archive(FakeArchive(report_of(uid))) as archive,
        start(FakeBackend(), pacs_url=archive.url) as gateway,
    ):
        error = ask(gateway, {"study": uid}).json()["error"]
        assert error["code"] == "no_series"
        assert "SR" in error["message"]

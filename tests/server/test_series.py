"""Series over HTTP: uploaded slices are sorted, chosen, shown and asked about; and how to read them is obeyed."""

import base64
import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image

from radserve_imaging import ImagePolicy, Reading, SliceChoice, Window, render
from radserve_server.fake import MANIFEST, FakeBackend

DICOM = {"content-type": "application/dicom"}
JSON = {"accept": "application/json"}
COUNT = 9


@pytest.fixture(scope="module")
def slices(ct):
    """Nine slices of the real CT at heights that fall, 5 mm apart, each brighter than the one below it."""
    made = []
    for number in range(COUNT):
        dataset = pydicom.dcmread(io.BytesIO(ct))
        dataset.SOPInstanceUID = f"1.2.3.4.{number}"
        dataset.ImagePositionPatient = [-158.1, -179.0, 100 - 5 * number]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.PixelData = (dataset.pixel_array + 20 * (COUNT - number)).astype("<i2").tobytes()
        out = io.BytesIO()
        dataset.save_as(out, enforce_file_format=True)
        made.append(out.getvalue())
    return made


def upload(gateway, data):
    response = gateway.http.post("/v1/images", content=data, headers=DICOM)
    assert response.status_code == 201, response.text
    return response.json()["image_id"]


@pytest.fixture
def series(gateway, slices):
    """What POST /v1/series says of the nine slices."""
    ids = [upload(gateway, data) for data in slices]
    response = gateway.http.post("/v1/series", json={"image_ids": ids})
    assert response.status_code == 201, response.text
    (found,) = response.json()["data"]
    return {**found, "uploaded": ids}


def shown(gateway, **request):
    response = gateway.http.post("/v1/render", json=request, headers=JSON)
    assert response.status_code == 200, response.text
    return [
        (np.asarray(Image.open(io.BytesIO(base64.b64decode(image["png_base64"])))), image["record"])
        for image in response.json()["images"]
    ]


def test_uploads_are_sorted_by_geometry(series):
    assert series["image_ids"] == series["uploaded"][::-1]
    assert (series["slices"], series["extent_mm"], series["modality"]) == (COUNT, 40.0, "CT")
    assert series["warnings"] == []


def test_the_middle_slice_is_shown_by_default(gateway, series, slices):
    ((pixels, record),) = shown(gateway, series_id=series["series_id"])
    assert np.array_equal(pixels, render(slices[4], ImagePolicy()).pixels)
    assert (record["slice"]["slice"], record["slice"]["slices"]) == (5, COUNT)


def test_the_request_chooses_slices_and_a_preset(gateway, series, slices):
    wish = {"choose": "around", "at": 3, "neighbours": 1}
    found = shown(gateway, series_id=series["series_id"], slices=wish, window="lung")
    assert [record["slice"]["slice"] for _, record in found] == [2, 3, 4]
    for pixels, record in found:
        data = slices[COUNT - record["slice"]["slice"]]
        expected = render(data, ImagePolicy(), Reading(window=Window(-600, 1500)))
        assert np.array_equal(pixels, expected.pixels)
        assert "lung" in record["voi"]["reason"]


def test_a_png_cannot_be_several_images(gateway, series):
    body = {"series_id": series["series_id"], "slices": {"count": 3}}
    response = gateway.http.post("/v1/render", json=body, headers={"accept": "image/png"})
    assert response.status_code == 400 and response.json()["error"]["code"] == "several_images"


def test_a_question_about_a_series_carries_all_chosen_slices(gateway, series):
    body = {"series_ids": [series["series_id"]], "question": "Bleed?", "slices": {"count": 3}}
    answer = gateway.http.post("/v1/vqa", json=body).json()
    (question,) = gateway.backend.questions
    parts = question.messages[0]["content"]
    assert [part["type"] for part in parts] == ["image"] * 3 + ["text"]
    assert len(question.images) == 3
    assert [record["slice"]["slice"] for record in answer["clinical"]["images"]] == [2, 5, 8]


def test_chat_takes_a_series_between_images(gateway, series, chat, data_uri, ct):
    url = f"radserve://series/{series['series_id']}"
    body = chat(data_uri(ct), url, data_uri(ct), clinical={"window": "brain"})
    answer = gateway.http.post("/v1/chat/completions", json=body).json()
    records = answer["clinical"]["images"]
    assert [record["slice"] is None for record in records] == [True, False, True]
    assert {record["voi"]["source"] for record in records} == {"request"}


def test_more_slices_than_the_engine_takes_are_refused(gateway, series):
    body = {"series_ids": [series["series_id"]], "question": "Bleed?", "slices": {"count": 5}}
    error = gateway.http.post("/v1/vqa", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_slices", "slices")


def test_the_policy_of_the_engine_chooses(start, slices):
    policy = replace(ImagePolicy(), slices=SliceChoice(count=4), arrangement="montage").to_json()
    with start(FakeBackend(manifest={**MANIFEST, "image_policy": policy})) as gateway:
        ids = [upload(gateway, data) for data in slices]
        (found,) = gateway.http.post("/v1/series", json={"image_ids": ids}).json()["data"]
        ((pixels, record),) = shown(gateway, series_id=found["series_id"])
        assert pixels.shape == (224, 224, 3) and record["montage"]
        assert [tile["slice"]["slice"] for tile in record["tiles"]] == [2, 4, 6, 8]
        answer = gateway.http.post(
            "/v1/vqa", json={"series_ids": [found["series_id"]], "question": "?"}
        ).json()
        assert len(answer["clinical"]["images"][0]["tiles"]) == 4
        png = gateway.http.post("/v1/render", json={"series_id": found["series_id"]})
        assert "Accept: application/json" in png.headers["x-radserve-record"]
        assert len(gateway.backend.questions[0].images) == 1


@pytest.mark.parametrize(
    ("more", "code", "param"),
    [
        ({"slices": {"choose": "around", "at": 10}}, "invalid_slices", "slices"),
        ({"slices": {"choose": "range", "first": 5, "last": 2}}, "invalid_slices", "slices"),
        ({"slices": {"every": 2}}, "unsupported_field", "slices.every"),
        ({"frame": 1}, "invalid_request", "frame"),
        ({"frame": 1, "slices": {"count": 1}}, "invalid_value", None),
        ({"window": "pelvis"}, "invalid_value", "window"),
        ({"window": {"center": 1}}, "missing_field", "window.width"),
        ({"presentation_state": "sha256-" + "0" * 64}, "image_not_found", "presentation_state"),
    ],
)
def test_a_wish_that_cannot_be_is_refused_by_its_field(gateway, series, more, code, param):
    response = gateway.http.post("/v1/render", json={"series_id": series["series_id"], **more}, headers=JSON)
    error = response.json()["error"]
    assert (response.status_code // 100, error["code"], error["param"]) == (4, code, param), error


def test_slices_of_one_image_are_refused(gateway, ct):
    body = {"image_id": upload(gateway, ct), "slices": {"count": 2}}
    error = gateway.http.post("/v1/render", json=body, headers=JSON).json()["error"]
    assert error["code"] == "invalid_slices"


def test_forms_and_queries_say_the_same(gateway, ct):
    expected = render(ct, ImagePolicy(), Reading(window=Window(-600, 1500))).pixels
    query = gateway.http.post("/v1/render?window=lung&overlays=true", content=ct, headers=DICOM)
    form = gateway.http.post("/v1/render", files={"image": ("a", ct)}, data={"window": "lung"})
    for response in (query, form):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(response.content))), expected)
    twice = gateway.http.post("/v1/render?window=lung&window_center=1", content=ct, headers=DICOM).json()
    assert twice["error"]["param"] == "window_center"


def test_what_is_no_slice_is_left_out_with_a_reason(gateway, slices, png):
    response = gateway.http.post("/v1/images", content=png, headers={"content-type": "image/png"})
    ids = [upload(gateway, slices[0]), response.json()["image_id"]]
    answer = gateway.http.post("/v1/series", json={"image_ids": ids}).json()
    assert [item["slices"] for item in answer["data"]] == [1]
    assert answer["left_out"] == [{"image_id": ids[1], "reason": "not a DICOM image of one frame"}]
    nothing = gateway.http.post("/v1/series", json={"image_ids": ids[1:]})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (400, "no_series")


def test_a_series_is_found_by_its_own_key_only_and_goes_with_its_images(gateway, series):
    error = gateway.http.post("/v1/render", json={"series_id": "series-" + "0" * 64}).json()["error"]
    assert (error["code"], error["param"]) == ("series_not_found", "series_id")
    assert gateway.http.post("/v1/render", json={"series_id": series["series_id"]}).status_code == 200
    gateway.http.delete(f"/v1/images/{series['image_ids'][0]}")
    response = gateway.http.post("/v1/render", json={"series_id": series["series_id"]})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "series_not_found")
    assert not [key for key, _ in gateway.services.renderer._cache.items() if key[0] == series["series_id"]]


def test_a_presentation_state_is_uploaded_and_obeyed(gateway, ct, present):
    """Written by highdicom for the real CT; see tests/imaging for what each of its parts does."""
    state = upload(gateway, present(ct))
    image_id = upload(gateway, ct)
    ((pixels, record),) = shown(gateway, image_id=image_id, presentation_state=state)
    expected = render(ct, ImagePolicy(), Reading(window=Window(-600, 1500))).pixels
    assert np.array_equal(pixels, expected)
    assert record["voi"]["source"] == "presentation state window"
    assert f"sha256-{record['presentation_state_sha256']}" == state
    error = gateway.http.post("/v1/render", json={"image_id": state}, headers=JSON).json()["error"]
    assert error["code"] == "no_pixel_data"

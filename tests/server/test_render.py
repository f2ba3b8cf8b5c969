"""What the model would see, by every way of sending an image."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from radserve_imaging import ImagePolicy, Reading, Window, render

DICOM = {"content-type": "application/dicom"}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_png_with_its_record_in_a_header(gateway, ct):
    response = gateway.http.post(
        "/v1/render?window_center=50&window_width=100", content=ct, headers={**DICOM, "accept": "image/png"}
    )
    expected = render(ct, ImagePolicy(), Reading(window=Window(50, 100)))
    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(response.content), expected.pixels)
    record = json.loads(base64.urlsafe_b64decode(response.headers["x-radserve-record"]))
    assert record == expected.record.to_json()


def test_json_from_a_form(gateway, ct):
    response = gateway.http.post(
        "/v1/render",
        files={"image": ("a.dcm", ct)},
        data={"frame": "1"},
        headers={"accept": "application/json"},
    )
    body = response.json()
    assert np.array_equal(
        pixels(base64.b64decode(body["images"][0]["png_base64"])), render(ct, ImagePolicy()).pixels
    )
    assert body["images"][0]["record"]["frame"] == 1


def test_rendering_goes_on_while_the_engine_is_down(gateway, ct):
    gateway.backend.down = True
    gateway.until(lambda: not gateway.services.watch.ready)
    assert (gateway.http.post("/v1/render", content=ct, headers=DICOM)).status_code == 200


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("?frame=9", "invalid_frame", "body"),
        ("?frame=x", "invalid_value", "frame"),
        ("?zoom=2", "unsupported_field", "zoom"),
        ("?frame=1&frame=2", "invalid_request", "frame"),
    ],
)
def test_a_bad_query_is_refused(gateway, ct, query, code, param):
    error = (gateway.http.post(f"/v1/render{query}", content=ct, headers=DICOM)).json()["error"]
    assert (error["code"], error["param"]) == (code, param)

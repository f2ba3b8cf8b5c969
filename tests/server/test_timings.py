"""Where the time went, as answers, uploads and metrics tell it."""

import asyncio
import json
import math

import httpx
import pytest

from radserve_bench.imaging.codecs import NATIVE, SYNTAXES, write
from radserve_bench.imaging.objects import ct as synthetic_ct
from radserve_bench.imaging.objects import x_ray
from radserve_server.fake import FakeBackend
from radserve_server.image_times import ImageTimes, last_to_end, split_job

pytestmark = pytest.mark.timed

DICOM = {"content-type": "application/dicom"}
IMAGE = ("image_wait_ms", "image_decode_ms", "image_render_ms")
STAGES = ("body_ms", "fetch_ms", "admission_ms", "decode_render_ms")
JPEG_2000 = next(syntax for syntax in SYNTAXES if syntax.name == "JPEG 2000")


@pytest.fixture(scope="module")
def gateway(start):
    with start(FakeBackend(first_delay_s=0.03)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def slice_in_jpeg_2000():
    return write(synthetic_ct(), JPEG_2000)


def upload(gateway, data):
    response = gateway.http.post("/v1/images", content=data, headers=DICOM)
    assert response.status_code == 201, response.text
    return response.json()


def timings_of_chat(gateway, body):
    response = gateway.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    if not body.get("stream"):
        return response.json()["clinical"]["timings"]
    chunks = [
        line.removeprefix("data: ") for line in response.text.split("\n\n") if line.startswith("data: {")
    ]
    return next(chunk["clinical"]["timings"] for chunk in map(json.loads, chunks) if "clinical" in chunk)


@pytest.mark.parametrize("stream", [False, True])
def test_the_stages_before_the_engine_add_up_to_the_first_token(gateway, chat, data_uri, ct, stream):
    """They follow each other without a gap, so what is left is the engine's 30 ms and the way to it."""
    url = data_uri(ct + bytes(2 * stream))  # another file each time
    timings = timings_of_chat(gateway, chat(url, stream=stream))
    rest = timings["ttft_ms"] - sum(timings[name] for name in STAGES)
    assert 29 <= rest <= timings["ttft_ms"] - timings["decode_render_ms"]
    assert all(timings[name] >= 0 for name in (*STAGES, *IMAGE))


def test_an_image_s_wait_decoding_and_rendering_add_up_to_the_image_s_time(start, slice_in_jpeg_2000):
    with start(FakeBackend()) as gateway:
        answer = gateway.http.post(
            "/v1/vqa",
            files={"image": ("a.dcm", slice_in_jpeg_2000, "application/dicom")},
            data={"question": "Bleed?"},
        )
        timings = answer.json()["clinical"]["timings"]
        told = sum(timings[name] for name in IMAGE)
        assert 0.8 * timings["decode_render_ms"] - 2 <= told <= timings["decode_render_ms"] + 0.01
        assert timings["image_decode_ms"] > timings["image_render_ms"] > 0


def test_of_images_side_by_side_the_one_that_was_ready_last_is_told(start, ct, slice_in_jpeg_2000):
    """With one worker, the second image waits for the first: the told times are wall time, not a sum of work."""
    files = [("image", (name, data)) for name, data in (("a", slice_in_jpeg_2000), ("b", ct))]
    with start(FakeBackend()) as gateway:
        answer = gateway.http.post("/v1/vqa", files=files, data={"question": "Bleed?"})
        timings = answer.json()["clinical"]["timings"]
        assert timings["image_wait_ms"] > 1
        assert sum(timings[name] for name in IMAGE) <= timings["decode_render_ms"] + 0.01


def test_a_rendering_that_is_known_takes_no_time(gateway, ct):
    image_id = upload(gateway, ct)["image_id"]
    answer = gateway.http.post("/v1/vqa", json={"image_ids": [image_id], "question": "Bleed?"})
    timings = answer.json()["clinical"]["timings"]
    assert [timings[name] for name in IMAGE] == [0, 0, 0]


def test_the_codec_is_told_apart_from_the_rest(gateway):
    """The same pixels in two transfer syntaxes: only decoding tells them apart."""
    picture = x_ray(625, 512)
    plain, wavelet = (upload(gateway, write(picture, syntax))["timings"] for syntax in (NATIVE, JPEG_2000))
    assert wavelet["image_decode_ms"] > 5 * plain["image_decode_ms"] > 0
    assert wavelet["image_decode_ms"] > wavelet["image_render_ms"]
    for timings in (plain, wavelet):
        assert sum(timings[name] for name in ("body_ms", *IMAGE)) <= timings["total_ms"]


@pytest.mark.parametrize("route", ["/v1/images", "/v1/vqa"])
async def test_a_slow_sender_s_time_is_the_body_s(gateway, ct, route):
    """The headers come at once, half of the body 80 ms later than the other."""
    question = b'--b\r\nContent-Disposition: form-data; name="question"\r\n\r\nBleed?\r\n--b\r\n'
    head = question + b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    form = route == "/v1/vqa"
    body = head + ct + b"\r\n--b--\r\n" if form else ct
    kind = "multipart/form-data; boundary=b" if form else "application/dicom"

    async def slowly():
        yield body[:1000]
        await asyncio.sleep(0.08)
        yield body[1000:]

    async with httpx.AsyncClient(base_url=gateway.url) as http:
        headers = {"content-type": kind, "content-length": str(len(body))}
        answer = (await http.post(route, content=slowly(), headers=headers)).json()
    timings = (answer["clinical"] if form else answer)["timings"]
    assert 75 <= timings["body_ms"] <= timings["total_ms"]


def test_metrics_count_decoding_once_a_job_and_fetching_once_a_question(start, chat, data_uri, ct):
    with start(FakeBackend()) as gateway:
        image_id = upload(gateway, ct)["image_id"]
        for urls in ([f"radserve://images/{image_id}"], [data_uri(ct)], []):
            timings_of_chat(gateway, chat(*urls))
        sample = gateway.services.metrics.registry.get_sample_value
        assert sample("radserve_image_decode_seconds_count") == 1
        assert sample("radserve_image_fetch_seconds_count") == 2
        decoded, job = (sample(f"radserve_image_{name}_seconds_sum") for name in ("decode", "render"))
        assert 0 < decoded < job


def test_the_pixels_record_holds_no_time(gateway, ct):
    upload(gateway, ct)
    wish = {"accept": "application/json", **DICOM}
    record = gateway.http.post("/v1/render", content=ct, headers=wish).json()["images"][0]["record"]
    assert not [name for name in record if name.endswith(("_ms", "_s", "seconds"))]


@pytest.mark.parametrize(("told", "decode"), [(0.2, 0.2), (3.0, 1.0), (-1.0, 0.0), (math.nan, 0.0)])
def test_a_worker_cannot_claim_more_than_its_job_took(told, decode):
    times = split_job(0.5, 1.0, told)
    assert (times.wait, times.decode, times.total) == (0.5, decode, 1.5)


def test_no_image_takes_no_time():
    assert last_to_end([]) == ImageTimes()

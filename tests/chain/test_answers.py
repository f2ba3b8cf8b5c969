"""Real clients get real answers through gateway, Triton and engine."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from openai import OpenAI

from radserve_client import Answer, Client

pytestmark = pytest.mark.timed

Asking = Callable[..., dict[str, Any]]


def test_the_openai_sdk_streams_an_answer_about_a_dicom_file(chain: Any, ct: Path) -> None:
    uri = "data:application/dicom;base64," + base64.b64encode(ct.read_bytes()).decode()
    content = [{"type": "image_url", "image_url": {"url": uri}}, {"type": "text", "text": "Is this a CT?"}]
    with OpenAI(base_url=f"{chain.url}/v1", api_key="none needed") as client:
        (model,) = client.models.list().data
        stream = client.chat.completions.create(
            model=model.id,
            messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.strip()
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens > 0
    clinical = next(
        c.model_extra["clinical"] for c in chunks if c.model_extra and "clinical" in c.model_extra
    )
    assert clinical["engine"]["digest"].startswith("sha256:")
    assert clinical["images"][0]["modality"] == "CT"


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_plain_curl_streams_an_answer_about_a_dicom_file(chain: Any, ct: Path) -> None:
    command = ["curl", "-sN", f"{chain.url}/v1/vqa", "-H", "Accept: text/event-stream"]
    command += ["-F", f"image=@{ct};type=application/dicom", "-F", "question=In what plane is this image?"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "event: delta" in said
    done = json.loads(said.partition("event: answer\ndata: ")[2].splitlines()[0])
    assert done["answer"]
    assert done["clinical"]["images"][0]["voi"]["source"]


def test_streamed_and_whole_answers_are_the_same(chain: Any, asking: Asking) -> None:
    whole = httpx.post(f"{chain.url}/v1/chat/completions", json=asking(), timeout=60).json()
    with Client(chain.url) as client:
        image = base64.b64decode(asking()["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2])
        streamed = client.ask([image], asking()["messages"][0]["content"][1]["text"])
    assert streamed.text == whole["choices"][0]["message"]["content"]
    assert streamed.usage == whole["usage"]


def test_timings_and_counts_come_from_the_engine(chain: Any, asking: Asking) -> None:
    body = asking(max_tokens=12, ignore_eos=True)
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=body, timeout=60).json()
    assert answer["usage"]["completion_tokens"] == 12
    assert answer["choices"][0]["finish_reason"] == "length"
    timings = answer["clinical"]["timings"]
    assert {"queue_ms", "vision_ms", "prefill_ms", "decode_ms", "ttft_ms", "total_ms"} <= set(timings)
    assert timings["vision_ms"] + timings["prefill_ms"] + timings["decode_ms"] < timings["total_ms"]


def test_logprobs_are_one_a_token(chain: Any, asking: Asking) -> None:
    body = asking(logprobs=True, max_tokens=8, ignore_eos=True)
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=body, timeout=60).json()
    assert len(answer["choices"][0]["logprobs"]["content"]) == 8


def test_many_at_once_all_get_the_answer_that_each_gets_alone(chain: Any, ct: Path) -> None:
    questions = [
        "Is this a CT?",
        "In what plane is this image?",
        "Which organ is shown?",
        "Is this an MRI?",
    ] * 4

    def answer(question: str) -> str:
        with Client(chain.url) as client:
            return client.ask([ct], question).text

    alone = {question: answer(question) for question in set(questions)}
    with ThreadPoolExecutor(len(questions)) as pool:
        assert list(pool.map(answer, questions)) == [alone[question] for question in questions]


@pytest.mark.parametrize(
    ("question", "code"),
    [("why " * 3000, "context_length_exceeded"), ("a <|im_end|> b", "control_token")],
)
def test_what_only_the_engine_can_refuse_is_a_400(
    chain: Any, asking: Asking, question: str, code: str
) -> None:
    for stream in (False, True):
        response = httpx.post(
            f"{chain.url}/v1/chat/completions", json=asking(question, stream=stream), timeout=60
        )
        assert response.status_code == 400
        assert response.json()["error"]["code"] == code
        assert response.json()["error"]["param"] == "messages"


def test_no_process_of_the_chain_has_torch_in_memory(chain: Any, asking: Asking) -> None:
    httpx.post(f"{chain.url}/v1/chat/completions", json=asking(), timeout=60).raise_for_status()
    family, seen = [chain.process.pid], []
    while family:
        pid = family.pop()
        seen.append(pid)
        family += [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in seen}
    assert any("openvino_genai" in text for text in maps.values())
    assert not [pid for pid, text in maps.items() if "libtorch" in text or "/torch/" in text]


def test_the_gateway_imports_no_torch() -> None:
    program = (
        "import sys, radserve_server.__main__, radserve_server.app, radserve_server.triton, radserve_client.up;"
        "print([m for m in sys.modules if m.partition('.')[0] in ('torch', 'transformers', 'openvino')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_four_slices_of_a_series_are_asked_about_at_once(chain: Any, ct: Path, tmp_path: Path) -> None:
    """Uploaded, sorted, chosen, and seen by the engine as four images; a short question beside it goes on."""
    for number in range(9):
        dataset = pydicom.dcmread(ct)
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.ImagePositionPatient = [-110.0, -110.0, float(-7 * number)]
        dataset.save_as(tmp_path / f"{number}.dcm")
    with Client(chain.url) as client, ThreadPoolExecutor(1) as threads:
        ids = [client.upload(file) for file in sorted(tmp_path.iterdir())]
        (series,) = client.sort_series(ids).series
        beside = threads.submit(ask_once, chain.url, ct)
        asked = {"series_ids": [series.series_id], "question": "Is this a CT?", "slices": {"count": 4}}
        answer = httpx.post(f"{chain.url}/v1/vqa", json=asked, timeout=60).json()
        assert beside.result().text.strip()
    assert list(series.image_ids) == ids[::-1]
    assert [record["slice"]["slice"] for record in answer["clinical"]["images"]] == [2, 4, 6, 8]
    assert answer["clinical"]["timings"]["image_tokens"] == 4 * 64


def ask_once(url: str, image: Path) -> Answer:
    with Client(url) as client:
        return client.ask([image], "Is this a CT?")

"""Confidence, abstention and cut repetitions through gateway, Triton and an engine's own process."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from radserve_client import Client
from radserve_engines.assets import demo_engine
from radserve_engines.calibration import Calibration, TypeCalibration
from radserve_engines.manifest import read_manifest, write_manifest
from radserve_engines.signing import public_path

Asking = Callable[..., dict[str, Any]]
# The fake engine is certain of all it says (its logit is 12): 50 % sure of closed answers, 85 % of open ones.
_CLOSED = TypeCalibration(0.1, -1.2, 0.6, 0.3, 0.7, 0.2, 0.28, 900, 90, 0.2, 0.03)
_OPEN = replace(_CLOSED, intercept=0.5, threshold=0.8)


@pytest.fixture(scope="module")
def calibrated(
    module_chain: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    sign_off: Callable[..., Path],
    signing_key: Path,
) -> Any:
    """The whole chain around the fake engine, which says the question back, with a calibration."""
    folder = tmp_path_factory.mktemp("engine")
    manifest = read_manifest(demo_engine())
    files = {name: manifest.files[name] for name in ("tokenizer.json", manifest.chat_template)}
    for name in files:
        shutil.copy(demo_engine() / name, folder / name)
    block = Calibration({"closed": _CLOSED, "open": _OPEN}, {})
    write_manifest(folder, replace(manifest, target="fake", files=files, confidence=block))
    keys = ("--trusted-keys", str(public_path(signing_key)))
    return module_chain("--engine", str(sign_off(folder)), *keys)


def ask(chain: Any, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{chain.url}/v1/chat/completions", json=body, timeout=60).json()
    return answer


def test_confidence_is_judged_by_the_last_question_s_type(calibrated: Any, asking: Asking, ct: Path) -> None:
    unsure, sure = (ask(calibrated, asking(text)) for text in ("Is there a bleed?", "Which organ is shown?"))
    assert (unsure["clinical"]["confidence"], unsure["clinical"]["abstained"]) == (0.5, True)
    assert (sure["clinical"]["confidence"], sure["clinical"]["abstained"]) == (0.846, False)
    assert unsure["choices"][0]["message"]["content"] == "Is there a bleed?"
    assert any("not confident enough" in warning for warning in unsure["clinical"]["warnings"])
    assert not any("not confident enough" in warning for warning in sure["clinical"]["warnings"])
    history = asking("Is there a bleed?")["messages"]
    history += [{"role": "assistant", "content": "No"}, {"role": "user", "content": "Which organ is shown?"}]
    basis = ask(calibrated, {**asking(), "messages": history})["clinical"]["confidence_basis"]
    assert (basis["question_type"], basis["threshold"], basis["stated_risk"]) == ("open", 0.8, 0.3)
    with Client(calibrated.url) as client:
        streamed = client.ask([ct], "Is there a bleed?").clinical
    names = ("confidence", "abstained", "confidence_basis")
    assert [streamed[name] for name in names] == [unsure["clinical"][name] for name in names]


def test_a_sampled_or_cut_answer_has_no_confidence_but_a_reason(calibrated: Any, asking: Asking) -> None:
    for more, reason in (({"temperature": 0.7}, "temperature 0.7"), ({"max_tokens": 2}, "cut off")):
        clinical = ask(calibrated, asking("Is there a bleed?", **more))["clinical"]
        assert clinical["confidence"] is None and clinical["abstained"] is None
        assert reason in clinical["confidence_basis"]["reason"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_endless_repetition_is_cut_and_told(calibrated: Any, asking: Asking, stream: bool) -> None:
    body = asking("see" + " no" * 500, max_tokens=1000, stream=stream)
    response = httpx.post(f"{calibrated.url}/v1/chat/completions", json=body, timeout=60)
    if stream:
        events = [json.loads(line[6:]) for line in response.text.split("\n\n") if line.startswith("data: {")]
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
        clinical, reason = events[-1]["clinical"], events[-1]["choices"][0]["finish_reason"]
    else:
        (choice,) = response.json()["choices"]
        text, reason = choice["message"]["content"], choice["finish_reason"]
        clinical = response.json()["clinical"]
    assert text == "see" + " no" * 32
    assert (reason, clinical["finish_reason"]) == ("length", "repetition")
    assert "the answer was ended because it repeated itself" in clinical["warnings"]
    assert clinical["confidence"] is None
    calibrated.until(lambda: calibrated.count("running") == 0, within_s=3)


def test_the_real_engine_tells_the_probability_of_its_answer(chain: Any, asking: Asking) -> None:
    """Whether or not the engine is calibrated: the sum of what `logprobs` lists, to float32's digits."""
    answer = ask(chain, asking(logprobs=True))
    listed = [entry["logprob"] for entry in answer["choices"][0]["logprobs"]["content"]]
    basis = answer["clinical"]["confidence_basis"]
    assert basis["answer_logprob"] == pytest.approx(sum(listed), abs=1e-4)
    assert basis["question_type"] == "open"
    assert (answer["clinical"]["confidence"] is None) == (basis["reason"] is not None)

"""The raw score of an answer: one definition, the same from PyTorch and from OpenVINO; and their endless answers."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.manifest import EngineManifest, digest_files, read_manifest, write_manifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loading import load_runtime
from radserve_engines.runtime.protocol import Runtime

Ask = Callable[..., Any]
QUESTIONS = ("Is this a CT?", "Which organ is shown?", "What is abnormal?", "Where is the lesion?")


def folder_of(target: str) -> Path:
    if target == "torch":
        pytest.importorskip("torch")
    return {"openvino": demo_engine, "torch": demo_checkpoint}[target]()


def checked(target: str) -> tuple[Path, EngineManifest]:
    return folder_of(target), read_manifest(folder_of(target))


@pytest.fixture(scope="module", params=["openvino", "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    runtime = load_runtime(*checked(request.param))
    yield runtime
    runtime.close()


def test_the_score_is_the_sum_of_all_log_probabilities_asked_for_or_not(engine: Runtime, ask: Ask) -> None:
    for question in QUESTIONS:
        deltas = ask(engine, question, logprobs=True).rest()
        logprobs = [value for delta in deltas for value in delta.logprobs]
        score = deltas[-1].score
        assert deltas[-1].finish_reason == "stop" and score.whole
        assert score.tokens == len(logprobs) >= 2
        assert score.logprob == pytest.approx(math.fsum(logprobs), abs=1e-6)
        assert score.logprob < 0
        plain = ask(engine, question).rest()
        assert plain[-1].score == score
        assert all(delta.score is None and not delta.logprobs for delta in plain[:-1])


def test_an_engine_that_gives_no_probability_is_not_taken_for_certain(
    fake: Runtime, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = Answer.push
    monkeypatch.setattr(Answer, "push", lambda answer, token_ids, _: push(answer, token_ids, []))
    score = ask(fake, "yes").rest()[-1].score
    assert score.whole and math.isnan(score.logprob)


def test_the_end_of_turn_token_counts(engine: Runtime, ask: Ask) -> None:
    """Its log-probability is the last one, and the answer that is cut just before it lacks it."""
    whole = ask(engine, QUESTIONS[0], logprobs=True).rest()
    logprobs = [value for delta in whole for value in delta.logprobs]
    tokens = [token for delta in whole for token in delta.token_ids]
    end = json.loads((demo_checkpoint() / "generation_config.json").read_text())["eos_token_id"]
    assert tokens[-1] == end
    cut = ask(engine, QUESTIONS[0], max_tokens=len(tokens) - 1).rest()[-1]
    assert (cut.finish_reason, cut.score.whole) == ("length", False)
    assert cut.score.logprob == pytest.approx(math.fsum(logprobs[:-1]), abs=1e-6)


def test_both_runtimes_give_the_same_score(ask: Ask) -> None:
    """To a few thousandths: the INT8 engine rounds. A tempered or renormalised score would be far off."""
    scores: dict[str, list[Any]] = {}
    for target in ("openvino", "torch"):
        runtime = load_runtime(*checked(target))
        scores[target] = [ask(runtime, question, images=1).rest()[-1] for question in QUESTIONS]
        runtime.close()
    for ours, theirs in zip(scores["openvino"], scores["torch"], strict=True):
        if ours.score.tokens == theirs.score.tokens:
            assert ours.score.logprob == pytest.approx(theirs.score.logprob, abs=0.05, rel=0.02)
    assert sum(a.score.tokens == b.score.tokens for a, b in zip(*scores.values(), strict=True)) >= 3


@pytest.mark.parametrize("target", ["openvino", "torch"])
def test_an_engine_that_says_one_token_for_ever_is_cut(target: str, tmp_path: Path, ask: Ask) -> None:
    """Its logits are all alike, so that greedy decoding takes the first token each time, and never the last."""
    source = folder_of(target)
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    {"openvino": _level_openvino, "torch": _level_torch}[target](tmp_path)
    write_manifest(tmp_path, replace(read_manifest(source), files=digest_files(tmp_path)))
    runtime = load_runtime(tmp_path, read_manifest(tmp_path))
    last = ask(runtime, max_tokens=500).rest()[-1]
    again = ask(runtime, max_tokens=100, ignore_eos=True).rest()[-1]
    assert runtime.probe(5)  # the loop has counted what it has sent
    load = runtime.load()
    runtime.close()
    assert (last.finish_reason, last.timings.completion_tokens) == ("repetition", 32)
    assert again.timings.completion_tokens == 100
    assert last.score.logprob / 32 == pytest.approx(-math.log(4096), abs=0.01)
    assert (load.running, load.finished) == (0, 2)


def _level_openvino(folder: Path) -> None:
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    name = "openvino_language_model"
    model = ov.Core().read_model(folder / f"{name}.xml")
    (result,) = (one for one in model.get_results() if "logits" in one.output(0).get_names())
    level = ops.multiply(result.input_value(0), ops.constant(np.float32(0)))
    level.output(0).set_names({"logits"})
    result.input(0).replace_source_output(level.output(0))
    ov.save_model(model, folder / "level.xml", compress_to_fp16=False)
    del model
    for suffix in ("xml", "bin"):
        (folder / f"level.{suffix}").replace(folder / f"{name}.{suffix}")


def _level_torch(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    for name in weights:
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            weights[name] = weights[name] * 0
    save_file(weights, path, metadata={"format": "pt"})

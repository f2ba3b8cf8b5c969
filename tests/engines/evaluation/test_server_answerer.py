"""Over HTTP: a real gateway with the fake engine, killed when need be, and endpoints that know less."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation import Settings, build_report, collect_answers, load_sets, open_target
from radserve_engines.evaluation.server_answerer import ServerAnswerer

PLAIN = Settings(sensitivity=False, concurrency=4)


@contextmanager
def endpoint(
    answer: Callable[[dict[str, Any]], tuple[int, dict[str, Any]]], models: list[dict[str, Any]] | None = None
) -> Iterator[str]:
    """An OpenAI-compatible endpoint that answers each chat completion as it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if models is None:
                self.reply(404, {"error": {"message": "no such page"}})
            else:
                self.reply(200, {"data": models})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self.reply(*answer({**body, "authorization": self.headers["authorization"]}))

        def reply(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_says_what_its_confidence_was_fitted_on(write_set, tmp_path):
    """So that the report can say that the figures on that very set look too good."""
    sets = load_sets([write_set({})])
    fitted = {"sets": [{"name": "set", "sha256": sets[0].sha256, "answers": 60}]}
    model = {"id": "m", "clinical": {"digest": "sha256:1", "confidence": {"fitted": fitted}}}
    with endpoint(lambda body: (200, says("yes")), [model]) as url:
        answers = collect_answers(open_target(url), sets, tmp_path / "out", PLAIN)
    assert answers.identity.details["calibrated_on"] == [sets[0].sha256]


def test_a_model_that_is_not_offered_is_refused_before_any_question(write_set, tmp_path):
    sets, offered = load_sets([write_set({})]), [{"id": "one"}, {"id": "two"}]
    with (
        endpoint(lambda body: (200, says("yes")), offered) as url,
        pytest.raises(EvaluationError, match="one, two; choose with --model"),
    ):
        collect_answers(open_target(url, model="three"), sets, tmp_path / "out", PLAIN)


@pytest.mark.parametrize(
    ("clinical", "confidence"),
    [("ill", None), ({"confidence": "0.7"}, None), ({"confidence": 7}, None), ({"confidence": 0.7}, 0.7)],
)
def test_a_confidence_that_is_none_is_not_taken_for_one(write_set, tmp_path, clinical, confidence):
    body = {**says("yes"), "clinical": clinical}
    with endpoint(lambda _: (200, body), [{"id": "m", "clinical": clinical}]) as url:
        answers = collect_answers(open_target(url), load_sets([write_set({})]), tmp_path / "out", PLAIN)
    assert answers.judged[0].outcome.confidence == confidence


def test_content_in_parts_is_an_error_and_not_a_wrong_answer(write_set, tmp_path):
    body = says("yes") | {"choices": [{"message": {"content": [{"text": "yes"}]}}]}
    sets = load_sets([write_set({}, {})])
    with (
        endpoint(lambda _: (200, body), [{"id": "m"}]) as url,
        pytest.raises(EvaluationError, match=r"all failed.*not a chat completion"),
    ):
        collect_answers(open_target(url), sets, tmp_path / "out", PLAIN)


def says(text: str) -> dict[str, Any]:
    return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}


def test_a_server_s_answers_come_with_digest_and_log_probabilities(write_set, tmp_path, serve):
    sets = load_sets([write_set({}, {"answer": "no"}, {}, {})])
    with serve() as server:
        answers = collect_answers(open_target(server.url), sets, tmp_path / "out", Settings())
    report = build_report(answers)
    assert report.overall.accuracy.value == 75
    assert answers.identity.digest == f"sha256:{'0' * 64}"
    assert all(one.outcome.logprob is not None for one in answers.judged)
    assert len(answers.judged) == 12


def test_a_server_that_dies_leaves_what_was_answered_and_its_return_goes_on(write_set, tmp_path, serve):
    sets, out = load_sets([write_set(*[{}] * 40)]), tmp_path / "out"
    with serve(seconds=0.05) as server:
        timer = threading.Timer(0.5, server.kill)
        timer.start()
        gone = ServerAnswerer(server.url, pauses_s=(0.05, 0.05))
        with pytest.raises(EvaluationError, match=r"does not answer, tried 3 times"):
            collect_answers(gone, sets, out, Settings(sensitivity=False, concurrency=2))
        timer.join()
    kept = (out / "answers.jsonl").read_text().splitlines()
    assert 0 < len(kept) < 40
    assert all(json.loads(line)["error"] is None for line in kept)
    with serve() as server:
        answers = collect_answers(open_target(server.url), sets, out, PLAIN)
    assert len(answers.judged) == 40
    assert (out / "answers.jsonl").read_text().splitlines()[: len(kept)] == kept


def test_a_server_that_is_not_there_is_told_before_anything_is_written(write_set, tmp_path):
    with pytest.raises(EvaluationError, match="does not answer"):
        nobody = ServerAnswerer("http://127.0.0.1:9", pauses_s=())
        collect_answers(nobody, load_sets([write_set({})]), tmp_path / "out", PLAIN)
    assert not (tmp_path / "out").exists()


def test_an_endpoint_that_refuses_logprobs_is_asked_without_them(write_set, tmp_path):
    asked = []

    def answer(body):
        asked.append(body)
        if "logprobs" in body:
            return 400, {"error": {"message": "logprobs is not supported by this model"}}
        return 200, says("Yes.")

    with endpoint(answer) as url:
        target = ServerAnswerer(url, model="m", api_key="key")
        answers = collect_answers(target, load_sets([write_set(*[{}] * 4)]), tmp_path / "out", PLAIN)
    report = build_report(answers)
    assert report.overall.accuracy.value == 100
    assert report.confidences == ()
    assert any("without log-probabilities" in note for note in report.notes)
    assert {body["authorization"] for body in asked} == {"Bearer key"}
    assert all(body["temperature"] == 0 and body["model"] == "m" for body in asked)
    image, text = asked[0]["messages"][0]["content"]
    assert image["image_url"]["url"].startswith("data:image/png;base64,")
    assert text == {"type": "text", "text": "yes"}


def test_an_error_to_one_question_does_not_end_the_run(write_set, tmp_path):
    def answer(body):
        bad = body["messages"][0]["content"][1]["text"] == "bad"
        return (500, {"error": {"message": "boom"}}) if bad else (200, says("yes"))

    sets = load_sets([write_set({}, {"question": "bad"}, {}, {})])
    with endpoint(answer) as url:
        answers = collect_answers(ServerAnswerer(url, model="m"), sets, tmp_path / "out", PLAIN)
    errors = [one.outcome.error for one in answers.judged if one.outcome.error]
    assert errors == ["HTTP 500: boom"]


def test_a_busy_server_is_asked_again(write_set, tmp_path):
    asked = []

    def answer(body):
        asked.append(body)
        return (503, {"error": {"message": "busy"}}) if len(asked) < 3 else (200, says("yes"))

    with endpoint(answer) as url:
        target = ServerAnswerer(url, model="m", pauses_s=(0.01, 0.01, 0.01))
        answers = collect_answers(target, load_sets([write_set({})]), tmp_path / "out", PLAIN)
    assert [one.outcome.text for one in answers.judged] == ["yes"]
    assert len(asked) == 3


def test_an_endpoint_without_a_list_of_models_needs_the_model_s_name(write_set, tmp_path):
    with endpoint(lambda body: (200, says("yes"))) as url, pytest.raises(EvaluationError, match="--model"):
        collect_answers(ServerAnswerer(url), load_sets([write_set({})]), tmp_path / "out", PLAIN)


def test_neither_key_goes_to_the_other_s_address(monkeypatch):
    monkeypatch.setenv("RADSERVE_API_KEY", "ours")
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    assert open_target("http://127.0.0.1:1")._http.headers["authorization"] == "Bearer ours"
    assert open_target("http://127.0.0.1:1/v1")._http.headers["authorization"] == "Bearer theirs"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "authorization" not in open_target("http://127.0.0.1:1/v1")._http.headers

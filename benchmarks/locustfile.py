"""Readers at a hospital's viewers, for locust: each opens a study and asks a few questions about it.

    locust -f benchmarks/locustfile.py --headless -u 8 -r 4 -t 60s -H http://127.0.0.1:8000

Rows of locust's table: `upload` (POST /v1/images), and of each question `TTFT`, from before its first byte is sent to
its first text, `ITL`, from there to its end for each further token by the server's usage, and `e2e`. What fails is one
failure of `upload` or `e2e`, with the server's message, and has no TTFT or ITL. locust rounds what it takes
percentiles of (to 1 ms, above 100 ms to 10); its means are exact, and so is every line that --records keeps.
Without think time a reader asks again as soon as it is answered: a closed loop, which hides a full server's queue.
docs/load-tests.md says more.
"""

import base64
import itertools
import json
import random
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from locust import FastHttpUser, LoadTestShape, events, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS, FastResponse
from locust.env import Environment
from locust.exception import StopTest
from locust.runners import WorkerRunner

ASK = "/v1/chat/completions"
QUESTIONS = (
    "What abnormality is seen in the image?",
    "Is there a mass or a collection of fluid?",
    "Which side is it on?",
    "Is the contour of the heart normal?",
    "Is a line or a tube in place?",
)
TIMEOUT_S = 120.0


def stages(text: str) -> list[tuple[int, float]]:
    """Users and seconds of each stage: "4:30,16:60". Raises ValueError."""
    pairs = [stage.split(":") for stage in text.split(",")]
    return [(int(users), float(seconds)) for users, seconds in pairs]


_NOT_IN_THE_WEB_PAGE: dict[str, dict[str, Any]] = {
    "--image": {
        "action": "append",
        "help": "DICOM, PNG or JPEG; again for more (default: CT slices, each another)",
    },
    "--inline": {"action": "store_true", "help": "send the image with each question, as a data: URI"},
    "--ramp": {"type": stages, "help": "users:seconds,users:seconds,… instead of -u, -r and -t"},
    "--records": {"metavar": "FILE", "help": "add a line of JSON for each question to this file"},
    "--api-key": {"env_var": "RADSERVE_API_KEY", "help": "or RADSERVE_API_KEY"},
}


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Beside locust's own. The first four can be changed in its web page as well."""
    add = parser.add_argument
    add("--questions", type=int, default=3, help="questions about a study (default: 3)")
    add("--tokens", type=int, default=64, help="length of every answer (default: 64); 0: its own end")
    add("--think", type=float, default=0.0, help="mean seconds before each question (default: 0)")
    add("--model", default="", help="default: the one that /v1/models tells")
    for option, more in _NOT_IN_THE_WEB_PAGE.items():
        add(option, include_in_web_ui=False, **more)


class Ramp(LoadTestShape):
    """Each stage's users at once, for its seconds; then the test ends."""

    abstract = True  # locust would use it in every run

    def __init__(self, given: list[tuple[int, float]]) -> None:
        super().__init__()
        self._users = [users for users, _ in given]
        self._ends = list(itertools.accumulate(seconds for _, seconds in given))

    def tick(self) -> tuple[int, float] | None:
        passed = self.get_run_time()
        for users, end in zip(self._users, self._ends, strict=True):
            if passed < end:
                return users, max(users, 1)
        return None


@events.init.add_listener
def choose_ramp(environment: Environment, **_: Any) -> None:
    """Where one is asked for, and this process is not one of several that are told what to do."""
    given = environment.parsed_options
    if given and given.ramp and not isinstance(environment.runner, WorkerRunner):
        environment.shape_class = Ramp(given.ramp)
        environment.shape_class.runner = environment.runner


class AnswerFailed(Exception):
    """No whole answer came; the message is what the server said of it."""


@dataclass(slots=True)
class Answer:
    """Milliseconds since before the request was sent, the end being its last event with a choice; tokens by usage."""

    first_ms: float | None = None
    end_ms: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0

    @property
    def itl_ms(self) -> float | None:
        if self.first_ms is None or self.tokens < 2:
            return None
        return (self.end_ms - self.first_ms) / (self.tokens - 1)


def read_answer(response: FastResponse, sent: float) -> Answer:
    """Follow the events as they come; locust's own `iter_lines` would wait for 1024 bytes. Raises AnswerFailed."""
    answer, ended = Answer(), False
    try:
        while line := response.stream.readline(b"\n"):
            if ended or not line.startswith(b"data:"):
                continue  # what is left is read, so that the connection can be used again
            now_ms = 1e3 * (time.perf_counter() - sent)
            data = line[5:].strip()
            if data == b"[DONE]":
                ended = True
            else:
                _take(json.loads(data), now_ms, answer)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise AnswerFailed(f"an event is no chat completion: {error!r}") from error
    except FAILURE_EXCEPTIONS as error:
        raise AnswerFailed(f"the answer broke off: {error or type(error).__name__}") from error
    if not ended or answer.first_ms is None:
        raise AnswerFailed("the answer broke off" if not ended else "the answer has no text")
    return answer


def _take(event: dict[str, Any], now_ms: float, answer: Answer) -> None:
    if "error" in event:
        raise AnswerFailed(_message(event))
    if event["choices"]:
        answer.end_ms = now_ms
        if answer.first_ms is None and event["choices"][0]["delta"].get("content"):
            answer.first_ms = now_ms
    if usage := event.get("usage"):
        answer.tokens, answer.prompt_tokens = usage["completion_tokens"], usage["prompt_tokens"]


def _message(body: Any) -> str:
    """OpenAI's shape of errors; other shapes as they are."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error["message"] if isinstance(error, dict) and "message" in error else body)[:500]


def refusal(response: FastResponse) -> str | None:
    """What a server that answered with a failure said."""
    if response.status_code == 0 or response.ok:
        return None
    try:
        return f"HTTP {response.status_code}: {_message(response.json())}"
    except ValueError:
        return f"HTTP {response.status_code}: {(response.text or '')[:500]}"


def media_type(data: bytes) -> str:
    """By the file's first bytes."""
    starts = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg"}
    return next((kind for start, kind in starts.items() if data.startswith(start)), "application/dicom")


@lru_cache(maxsize=1)
def pictures(files: tuple[str, ...]) -> Iterator[bytes]:
    """Without end, for all readers of this process: the files, from any of them on; else CT slices, each another."""
    if files:
        read = [Path(name).read_bytes() for name in files]
        at = random.randrange(len(read))
        return itertools.cycle(read[at:] + read[:at])
    from radserve_bench.workloads.catalogue import workload_named

    return (visit.files[0].data for visit in workload_named("ct-slice").visits(random.getrandbits(31)))


@events.test_start.add_listener
def learn_model(environment: Environment, **_: Any) -> None:
    """Which model there is, unless one was named."""
    given = environment.parsed_options
    Reader.model, Reader.trouble = given.model, ""
    if not given.model:
        request = Request(f"{environment.host}/v1/models", headers=authorization(given))
        try:
            with urlopen(request, timeout=10) as response:
                Reader.model = json.load(response)["data"][0]["id"]
        except (OSError, ValueError, LookupError) as error:
            Reader.trouble = f"{environment.host} does not tell its model: {error}"


def authorization(options: Namespace) -> dict[str, str]:
    """The header that carries the key, if there is one."""
    return {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}


class Reader(FastHttpUser):
    """One user at a viewer."""

    model, trouble = "", ""

    network_timeout = connection_timeout = TIMEOUT_S
    insecure = False  # the key goes to no server whose certificate is not trusted

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        if self.trouble:
            environment.process_exit_code = 1
            raise StopTest(self.trouble)
        self.options = environment.parsed_options
        self.pictures = pictures(tuple(self.options.image or ()))
        self.headers = authorization(self.options)

    def wait_time(self) -> float:
        """Before each question and each study: as if they came at random, that many seconds apart in the mean."""
        return random.expovariate(1 / self.options.think) if self.options.think > 0 else 0.0

    @task
    def read_study(self) -> None:
        """Open one, then ask."""
        picture = next(self.pictures)
        url = self.inlined(picture) if self.options.inline else self.upload(picture)
        if url is None:
            return
        for number in range(self.options.questions):
            if number:
                self.wait()
            self.ask(
                url, QUESTIONS[number % len(QUESTIONS)], "first question" if number == 0 else "later question"
            )

    def inlined(self, picture: bytes) -> str:
        """As a data: URI."""
        return f"data:{media_type(picture)};base64,{base64.b64encode(picture).decode()}"

    def upload(self, picture: bytes) -> str | None:
        """The address by which it is asked about; None if it was refused."""
        headers = {**self.headers, "Content-Type": media_type(picture)}
        with self.client.post(
            "/v1/images", name="image", data=picture, headers=headers, catch_response=True
        ) as response:
            response.request_meta["request_type"] = "upload"
            if failed := refusal(response):
                response.failure(failed)
            elif response.ok and response.status_code:
                with suppress(ValueError, LookupError, TypeError):
                    return f"radserve://images/{response.json()['image_id']}"
                response.failure(
                    "the answer has no image_id: is this a radserve server? If not, use --inline"
                )
        return None

    def ask(self, url: str, question: str, name: str) -> None:
        """Ask, follow the answer to its end, and tell locust."""
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
        body = json.dumps(self.request(content)).encode()
        headers = {**self.headers, "Content-Type": "application/json", "Accept": "text/event-stream"}
        answer, failed, began, sent = None, None, time.time(), time.perf_counter()
        with self.client.post(
            ASK, name=name, data=body, headers=headers, stream=True, catch_response=True
        ) as response:
            response.request_meta["request_type"] = "e2e"
            try:
                if failed := refusal(response):
                    raise AnswerFailed(failed)
                if response.status_code:
                    answer = read_answer(response, sent)
                    response.success()
                else:
                    failed = str(response.error)
            except AnswerFailed as error:
                failed = str(error)
                response.failure(failed)
            e2e_ms = answer.end_ms if answer else 1e3 * (time.perf_counter() - sent)
            response.request_meta["response_time"] = e2e_ms
        if answer is not None:
            self.tell("TTFT", name, answer.first_ms)
            self.tell("ITL", name, answer.itl_ms)
        self.keep(name, began, answer, failed)

    def request(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        """The question's body."""
        length = {"max_tokens": self.options.tokens, "ignore_eos": True} if self.options.tokens else {}
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
            **length,
        }

    def tell(self, metric: str, name: str, value_ms: float | None) -> None:
        """One value of a row of locust's table."""
        if value_ms is not None:
            self.environment.events.request.fire(
                request_type=metric,
                name=name,
                response_time=value_ms,
                response_length=0,
                exception=None,
                context=self.context(),
            )

    def keep(self, name: str, began: float, answer: Answer | None, failed: str | None) -> None:
        """One line of JSON; `began` is Unix time."""
        if self.options.records is None:
            return
        figures = {**asdict(answer), "itl_ms": answer.itl_ms} if answer else {}
        with open(self.options.records, "a") as lines:
            lines.write(json.dumps({"name": name, "began": began, **figures, "error": failed}) + "\n")

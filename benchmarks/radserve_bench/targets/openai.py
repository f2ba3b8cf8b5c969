"""Any endpoint that speaks OpenAI's chat completions: vLLM, trtllm-serve, SGLang, OpenVINO Model Server, radserve.

Images go into the question as data: URIs: PNG of what the model is to see, rendered by an image policy before the
clock starts, since such an endpoint knows no DICOM; or, to one that does, the files as they are.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from radserve_bench.errors import BenchError, Refused, RequestFailed, TimedOut
from radserve_bench.record import Description
from radserve_bench.targets.endpoint import Endpoint, StatusFailed
from radserve_bench.targets.keys import OPENAI_KEY_VARIABLE, REFUSING, key_failure
from radserve_bench.targets.locality import listeners
from radserve_bench.targets.prepared import Prepared, model_sees
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.split import read_timings, within
from radserve_bench.visit import Visit
from radserve_imaging import ImagePolicy, encode_png

Inline = Literal["png", "dicom"]
_PROBE = "Is this a test? Answer with one word."


class OpenAITarget:
    """`base_url` ends in /v1. Without `model` the only one that is offered; answers are greedy.

    `policy` says how PNGs are rendered: by default as the endpoint itself does, if it tells, else by the default
    policy. `pids` and `timeout_s` are as in ServerTarget.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        model: str | None = None,
        api_key: str | None = None,
        inline: Inline = "png",
        policy: ImagePolicy | None = None,
        pids: Sequence[int] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._name = name
        self._inline = inline
        self._policy = policy
        self._pids = pids
        self._prepared: Prepared[bytes] = Prepared()
        self.endpoint = Endpoint(base_url, api_key)
        self.timeout_s = timeout_s
        self.model = model
        self.exact = True

    @property
    def name(self) -> str:
        """Heads its column."""
        return self._name

    async def open(self) -> Description:
        """Find the model, and by a short question whether it takes ignore_eos and gives usage. Raises BenchError."""
        row = await self._find_model()
        clinical = row.get("clinical")
        clinical = clinical if isinstance(clinical, Mapping) else {}
        if self._policy is None:
            told = clinical.get("image_policy")
            self._policy = ImagePolicy.from_json(told) if isinstance(told, Mapping) else ImagePolicy()
        await self._probe()
        if self._pids is None:
            self._pids = await asyncio.to_thread(listeners, self.endpoint.url)
        details = {
            "url": self.endpoint.url,
            "images": f"data: URIs, {self._inline}",
            "policy_sha256": self._policy.digest() if self._inline == "png" else None,
            "owned_by": row.get("owned_by"),
            "exact_length": self.exact,
        }
        if not self.exact:
            details["note"] = "it refuses ignore_eos: its answers end where the model ends them"
        return Description(self.name, "openai", str(self.model), clinical.get("digest"), details)

    async def prepare(self, visits: Sequence[Visit]) -> None:
        """Make the image parts of the questions. Raises BenchError for a file that cannot be rendered."""
        await self._prepared.make(visits, self._image_parts)

    def begin(self, visit: Visit) -> "OpenAISitting":
        """Nothing is sent yet."""
        return OpenAISitting(self, self._prepared.of(visit))

    def processes(self) -> Sequence[int] | None:
        """As they were given, or those that listen there."""
        return self._pids

    async def close(self) -> None:
        """Close the connections."""
        await self.endpoint.close()

    async def _find_model(self) -> Mapping[str, Any]:
        try:
            rows = {str(row["id"]): row for row in (await self.endpoint.get("/models"))["data"]}
        except StatusFailed as error:
            if error.status in REFUSING:
                raise key_failure(self.endpoint.url, error, OPENAI_KEY_VARIABLE) from error
            if self.model is None:
                raise BenchError(f"{self.endpoint.url}: {error}; name the model with --model") from error
            return {}
        except Refused as error:
            raise BenchError(f"{self.endpoint.url} is not ready: {error}") from error
        except RequestFailed as error:
            raise BenchError(str(error)) from error
        except (LookupError, TypeError) as error:
            raise BenchError(f"{self.endpoint.url} is no OpenAI-compatible endpoint") from error
        if self.model is None and len(rows) == 1:
            self.model = next(iter(rows))
        if self.model is None or (rows and self.model not in rows):
            offered = ", ".join(rows) or "none"
            raise BenchError(f"{self.endpoint.url} offers these models: {offered}; choose with --model")
        row = rows.get(self.model, {})
        return row if isinstance(row, Mapping) else {}

    async def _probe(self) -> None:
        """A short question. That it fails is no matter: the endpoint may want an image, or fail now and then."""
        try:
            await OpenAISitting(self, b"").ask(_PROBE, 2)
        except RequestFailed as error:
            if isinstance(error, StatusFailed) and error.status in REFUSING:
                raise key_failure(self.endpoint.url, error, OPENAI_KEY_VARIABLE) from error
            if isinstance(error, StatusFailed) and error.status == 404:
                raise BenchError(f"{self.endpoint.url}: {error}") from error

    def _image_parts(self, visit: Visit) -> bytes:
        """As they stand in a question's JSON, each followed by a comma."""
        if self._inline == "dicom":
            uris = [data_uri(file.media_type, file.data) for file in visit.files]
        else:
            pictures = model_sees(visit, self._policy or ImagePolicy())
            uris = [data_uri("image/png", encode_png(picture)) for picture in pictures]
        return b"".join(b'{"type":"image_url","image_url":{"url":"%s"}},' % uri for uri in uris)


class OpenAISitting:
    """One visit; such an endpoint keeps nothing, so its images go with every question."""

    def __init__(self, target: OpenAITarget, images: bytes) -> None:
        self._target = target
        self._images = images

    async def ask(self, question: str, tokens: int | None) -> Reply:
        """Asked again without ignore_eos by an endpoint that refuses it; raises RequestFailed."""
        target = self._target
        sent = time.perf_counter()
        try:
            async with asyncio.timeout(target.timeout_s):
                return await self._ask(question, tokens, sent)
        except StatusFailed as error:
            if not (target.exact and tokens is not None and _refuses_length(error)):
                raise
        except TimeoutError as error:
            raise TimedOut(f"no whole answer within {target.timeout_s:g} s") from error
        target.exact = False
        return await self.ask(question, tokens)

    async def _ask(self, question: str, tokens: int | None, sent: float) -> Reply:
        parts = self._body(question, tokens)
        answer = await self._target.endpoint.stream("/chat/completions", parts)
        reply = answer.reply(sent)
        split = read_timings(answer.clinical.get("timings"))
        reply.split = within(split, 1000 * (reply.end - sent))
        return reply

    def _body(self, question: str, tokens: int | None) -> tuple[bytes, ...]:
        options: dict[str, Any] = {"model": self._target.model, "temperature": 0, "stream": True}
        options["stream_options"] = {"include_usage": True}
        if tokens is not None:
            options["max_tokens"] = tokens
            if self._target.exact:
                options["ignore_eos"] = True
        head = json.dumps(options)[:-1] + ', "messages": [{"role": "user", "content": '
        if not self._images:
            return (f"{head}{json.dumps(question)}}}]}}".encode(),)
        text = json.dumps({"type": "text", "text": question})
        return f"{head}[".encode(), self._images, f"{text}]}}]}}".encode()


def data_uri(media_type: str, data: bytes) -> bytes:
    """RFC 2397, in base64."""
    return b"data:%s;base64,%s" % (media_type.encode(), base64.b64encode(data))


def _refuses_length(error: StatusFailed) -> bool:
    return error.status in (400, 422) and "ignore_eos" in str(error)

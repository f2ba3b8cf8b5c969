"""The engine behind Triton: model `clinical_vqa`, decoupled, one gRPC stream to a question on one channel.

Written against tritonclient 2.73 (grpc.aio). The channel's keepalive asks Triton more often than its
defaults allow while an engine is silent; start Triton with `--grpc-http2-max-ping-strikes=0` and
`--grpc-keepalive-permit-without-calls=1`, or it hangs up with "too_many_pings" on a long silence.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import numpy as np

from radserve_server.backend import Delta, EngineDescription, EngineUnavailable, Question, QuestionRefused
from radserve_server.errors import GatewayError, Overloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG = logging.getLogger(__name__)
_UNLIMITED = 2**31 - 1
_CHANNEL = [
    ("grpc.max_send_message_length", _UNLIMITED),
    ("grpc.max_receive_message_length", _UNLIMITED),
    # A peer that is gone without a word is noticed after 1.8 s at most.
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 800),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A bandwidth probe is a ping too: unanswered, it would hold back the keepalive's for a minute.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.ping_timeout_ms", 800),
    # A Triton that came back is found within a second; gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_DESCRIBE = Question(messages=(), images=(), sampling={})
_ENGINE_FAILURES = ("engine_failed", "shutting_down")


class TritonBackend:
    """Talks to Triton at `url` (host:port of its gRPC endpoint); connects at the first question."""

    def __init__(self, url: str, model: str = "clinical_vqa") -> None:
        self._url = url
        self._model = model
        self._connected: Any = None

    async def describe(self) -> EngineDescription:
        """Ask the engine's own loop what it is, by the question without messages; raises EngineUnavailable."""
        answers = self.stream(_DESCRIBE)
        try:
            text = (await anext(answers)).text
        except StopAsyncIteration:
            raise EngineUnavailable("the engine said nothing about itself") from None
        finally:
            await answers.aclose()
        return _read_description(text)

    async def stream(self, question: Question) -> AsyncGenerator[Delta, None]:
        """The answer's deltas; closing the generator cancels the question in the engine.

        What comes last is held until the stream has ended by itself, which it does at once: Triton 2.51 cannot
        shut down any more once a stream was cancelled after its last response.
        """
        call = self._client().stream_infer(_once({"model_name": self._model, "inputs": _encode(question)}))
        last: Delta | GatewayError = EngineUnavailable("the engine's answer ended before it was finished")
        try:
            with _transport_failures():
                async for result, error in call:
                    if error is not None:
                        last = _engine_error(error.message())
                    elif (delta := _decode(result.get_response())).finish_reason:
                        last = delta
                    else:
                        yield delta
            if not isinstance(last, Delta):
                raise last
            yield last
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel."""
        if self._connected is not None:
            await self._connected.close()
            self._connected = None

    def _client(self) -> Any:
        """The one client; grpc.aio wants it made inside the running loop."""
        if self._connected is None:
            from tritonclient.grpc import aio

            self._connected = aio.InferenceServerClient(self._url, channel_args=_CHANNEL)
        return self._connected


@contextmanager
def _transport_failures() -> "Iterator[None]":
    try:
        yield
    except grpc.aio.AioRpcError as error:
        _LOG.debug("Triton: %s %s", error.code().name, error.details())
        raise EngineUnavailable(f"the engine does not answer ({error.code().name})") from error


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _encode(question: Question) -> list[Any]:
    from tritonclient.grpc import InferInput

    sizes = np.array([image.shape[:2] for image in question.images], dtype=np.int32).reshape(-1, 2)
    flat = [image.reshape(-1) for image in question.images]
    pixels = np.concatenate(flat) if flat else np.empty(0, np.uint8)
    arrays = {
        "messages": ("BYTES", _text(json.dumps(question.messages))),
        "pixels": ("UINT8", pixels),
        "image_sizes": ("INT32", sizes),
        "sampling": ("BYTES", _text(json.dumps(question.sampling))),
    }
    inputs = []
    for name, (datatype, array) in arrays.items():
        tensor = InferInput(name, array.shape, datatype)
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    return inputs


def _text(value: str) -> np.ndarray[Any, np.dtype[np.object_]]:
    return np.array([value.encode()], dtype=np.object_)


def _decode(response: Any) -> Delta:
    """One response's tensors; a BYTES element is preceded by its length, 4 bytes."""
    outputs = zip(response.outputs, response.raw_output_contents, strict=False)
    raw = {output.name: content for output, content in outputs}
    timings, confidence = raw.get("timings", b"")[4:], raw.get("confidence", b"")[4:]
    return Delta(
        text=raw.get("text", b"")[4:].decode(),
        token_ids=tuple(np.frombuffer(raw.get("token_ids", b""), "<i4").tolist()),
        logprobs=tuple(np.frombuffer(raw.get("logprobs", b""), "<f4").tolist()),
        finish_reason=raw.get("finish_reason", b"")[4:].decode(),
        timings=json.loads(timings) if timings else None,
        confidence=json.loads(confidence) if confidence else None,
    )


def _engine_error(message: str) -> GatewayError:
    """The engine's own errors are JSON {"code", "message", "param"}; anything else is a failure of Triton."""
    try:
        detail = json.loads(message)
        code, text, param = detail["code"], detail["message"], detail.get("param")
    except (ValueError, LookupError, TypeError):
        _LOG.warning("Triton: %s", message)
        return EngineUnavailable("the engine failed")
    if code == Overloaded.default_code:
        return Overloaded(str(text))
    if code in _ENGINE_FAILURES:
        return EngineUnavailable(str(text), code=str(code))
    return QuestionRefused(str(code), str(text), None if param is None else str(param))


def _read_description(text: str) -> EngineDescription:
    try:
        told = json.loads(text)
        manifest = told["engine"]
        name, digest = str(manifest["name"]), str(told["digest"])
        return EngineDescription(name, digest, manifest, int(told["running"]), int(told["waiting"]))
    except (ValueError, LookupError, TypeError) as error:
        raise EngineUnavailable(f"the engine describes itself in an unknown way: {error}") from error

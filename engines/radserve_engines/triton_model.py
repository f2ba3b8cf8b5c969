"""`clinical_vqa`: the engine behind Triton's decoupled Python backend. One request, many responses.

Inputs: `messages` STRING[1], JSON chat messages with {"type": "image"} parts as placeholders; `pixels` UINT8[-1],
the images' RGB bytes one after another; `image_sizes` INT32[-1,2], height and width; `sampling` STRING[1], JSON.
Outputs: `text` STRING[1], what was added; `token_ids` INT32[-1]; `logprobs` FP32[-1], when asked for;
`finish_reason` STRING[1], `timings` STRING[1], JSON, and `confidence` STRING[1], the JSON of a `Judgement`, with the
last response only (each tensor costs time in every response, so what has nothing to say is left out). `confidence`
is an addition to the contract as first designed: it is judged here, beside the manifest that calibrates it and for
all runtimes alike, and a gateway only passes it on. An error's message is JSON with code, message and param.

An empty list of messages asks for the engine itself: one response whose `text` is JSON with the manifest, the
engine digest and the load. The engine's own loop has to turn for it, so it is also the health check.
"""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radserve_engines.calibration import judge
from radserve_engines.errors import EngineError, EngineFailed, QuestionRefused
from radserve_engines.generation import Delta, Generation, Score
from radserve_engines.question_type import last_question
from radserve_engines.runtime.process import ProcessRuntime
from radserve_engines.runtime.protocol import Handle, Load, Runtime

ENGINE_VARIABLE = "RADSERVE_ENGINE"
_PROBE_S = 2.0
_WATCH_S = 0.05


class ClinicalVqa:
    """Turns Triton's requests into questions to a runtime, and its deltas into responses."""

    def __init__(self, runtime: Runtime, pb_utils: Any) -> None:
        self._runtime = runtime
        self._pb = pb_utils
        self._live: dict[int, tuple[Any, Handle]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._families = _load_families(pb_utils)
        label = {"engine": runtime.manifest.name}
        self._gauges = {name: family.Metric(labels=label) for name, family in self._families.items()}
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @classmethod
    def from_environment(cls, pb_utils: Any) -> "ClinicalVqa":
        """The engine folder is named by RADSERVE_ENGINE."""
        folder = os.environ.get(ENGINE_VARIABLE)
        if not folder:
            raise EngineFailed(f"{ENGINE_VARIABLE} must name the engine's folder")
        return cls(ProcessRuntime(Path(folder)), pb_utils)

    def execute(self, requests: Sequence[Any]) -> None:
        """Take the requests in and return at once; each one's responses follow as they are made."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._take(request, sender)
            except EngineError as error:
                self._send(sender, error)

    def close(self) -> None:
        """Cancel what runs."""
        self._closed.set()
        self._runtime.close()
        self._watcher.join()

    def _take(self, request: Any, sender: Any) -> None:
        messages = _json_input(self._pb, request, "messages")
        if not messages:
            threading.Thread(target=self._describe, args=(sender,), daemon=True).start()
            return
        images = _split_images(
            self._pb.get_input_tensor_by_name(request, "pixels").as_numpy(),
            self._pb.get_input_tensor_by_name(request, "image_sizes").as_numpy(),
        )
        sampling = self._runtime.manifest.decoding.merged(_json_input(self._pb, request, "sampling"))
        with self._lock:  # so that the last delta cannot come before the question is known to be live
            generation = Generation(tuple(messages), images, sampling)
            handle = self._runtime.submit(generation, lambda item: self._send(sender, item, generation))
            self._live[id(sender)] = (sender, handle)

    def _describe(self, sender: Any) -> None:
        manifest = self._runtime.manifest
        if not self._runtime.probe(_PROBE_S):
            self._send(sender, EngineFailed(f"the engine's loop did not turn within {_PROBE_S:g} s"))
            return
        text = {"engine": manifest.to_json(), "digest": manifest.digest, **asdict(self._runtime.load())}
        self._send(sender, json.dumps(text))

    def _send(self, sender: Any, content: Delta | EngineError | str, asked: Generation | None = None) -> None:
        response = self._response(content, asked)
        if isinstance(content, Delta) and not content.finish_reason:
            sender.send(response)
            return
        with self._lock:
            self._live.pop(id(sender), None)
        sender.send(response, flags=self._pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _response(self, content: Delta | EngineError | str, asked: Generation | None) -> Any:
        if isinstance(content, EngineError):
            message = json.dumps(content.to_json())
            return self._pb.InferenceResponse(error=self._pb.TritonError(message))
        delta = Delta(content, (), finish_reason="stop") if isinstance(content, str) else content
        tensors = {"text": _string(delta.text), "token_ids": np.array(delta.token_ids, np.int32)}
        if delta.logprobs:
            tensors["logprobs"] = np.array(delta.logprobs, np.float32)
        if delta.finish_reason:
            tensors["finish_reason"] = _string(delta.finish_reason)
        if delta.timings:
            tensors["timings"] = _string(json.dumps(delta.timings.to_json()))
        if delta.score and asked:
            tensors["confidence"] = _string(json.dumps(self._judge(delta.score, asked)))
        return self._pb.InferenceResponse([self._pb.Tensor(name, value) for name, value in tensors.items()])

    def _judge(self, score: Score, asked: Generation) -> dict[str, Any]:
        calibration = self._runtime.manifest.confidence
        question = last_question(asked.messages)
        return judge(calibration, question, score, asked.sampling.temperature).to_json()

    def _watch(self) -> None:
        """Cancel the questions whose client has gone, and keep Triton's gauges true."""
        shown: Load | None = None
        while not self._closed.wait(_WATCH_S):
            for key in list(self._live):
                # Under the lock, so never beside or after the final response: Triton would look at memory it freed.
                with self._lock:
                    sender, handle = self._live.get(key, (None, None))
                    gone = sender is not None and sender.is_cancelled()
                if gone and handle:
                    handle.cancel()
            if (load := self._runtime.load()) != shown:
                shown = load
                for name, gauge in self._gauges.items():
                    gauge.set(getattr(load, name))


def _split_images(pixels: NDArray[np.uint8], sizes: NDArray[np.int32]) -> tuple[NDArray[np.uint8], ...]:
    """(N,) bytes and (images, 2) heights and widths → (H, W, 3) each, copied out of Triton's memory."""
    areas = [3 * int(h) * int(w) if h > 0 and w > 0 else -1 for h, w in sizes.reshape(-1, 2)]
    if any(area < 0 for area in areas) or sum(areas) != pixels.size:
        message = f"image_sizes ask for {sum(areas)} bytes of RGB, but pixels holds {pixels.size}"
        raise QuestionRefused(message, param="pixels", code="image_count")
    ends = np.cumsum(areas)
    return tuple(
        pixels[end - area : end].reshape(int(h), int(w), 3).copy()
        for (h, w), area, end in zip(sizes.reshape(-1, 2), areas, ends, strict=True)
    )


def _json_input(pb_utils: Any, request: Any, name: str) -> Any:
    raw = pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]
    wanted = list if name == "messages" else dict
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise QuestionRefused(f"{name} is not JSON: {error}", param=name, code="invalid_json") from error
    if not isinstance(value, wanted) or (wanted is list and not all(isinstance(m, Mapping) for m in value)):
        raise QuestionRefused(f"{name} has the wrong JSON type", param=name, code="invalid_json")
    return value


def _string(text: str) -> NDArray[np.object_]:
    return np.array([text.encode()], np.object_)


def _load_families(pb_utils: Any) -> dict[str, Any]:
    """Triton's metrics endpoint shows what the engine counts. A family must outlive its metrics."""
    meanings = {
        "running": "questions that hold an engine slot",
        "waiting": "questions that wait for an engine slot",
        "finished": "questions answered since the engine started",
        "cancelled": "questions cancelled since the engine started",
    }
    kind = pb_utils.MetricFamily.GAUGE
    return {
        name: pb_utils.MetricFamily(name=f"radserve_engine_{name}", description=meaning, kind=kind)
        for name, meaning in meanings.items()
    }

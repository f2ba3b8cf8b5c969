"""The process of the PyTorch baseline: `python -m radserve_bench.targets.torch_worker SOCKET CHECKPOINT DEVICE DTYPE`.

DEVICE and DTYPE may be "auto": bf16 on a GPU if there is one, else fp32 on the processor.

It answers messages one at a time, in the order in which they come, and ends when the other side is gone.
"""

import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from radserve_bench.targets.torch_messages import Answered, Ask, Failed, Prepare, Prepared, Ready
from radserve_bench.token_clock import TokenClock
from radserve_engines.errors import EngineError
from radserve_engines.families.model_inputs import ModelInputs
from radserve_engines.manifest import parse_manifest, read_manifest_bytes
from radserve_engines.prompt import PromptTemplate
from radserve_engines.runtime.torch import find_tower, load_model


class Worker:
    """One checkpoint in memory. Raises EngineError where it cannot be loaded."""

    def __init__(self, checkpoint: Path, device: str, dtype: str) -> None:
        self._manifest = parse_manifest(checkpoint, read_manifest_bytes(checkpoint))
        self._template = PromptTemplate(checkpoint, self._manifest)
        self._inputs = ModelInputs(checkpoint)
        self._device = _find_device(device)
        self._dtype = _choose_dtype(dtype, self._device)
        self._model = load_model(checkpoint, self._dtype).to(self._device)
        self._encoded = 0.0
        tower = find_tower(self._model, self._inputs.family)
        if tower is not None:
            tower.register_forward_hook(self._note_encoded)

    def describe(self) -> Ready:
        """Precision, device, threads and versions."""
        return Ready(
            {
                "precision": str(self._dtype).removeprefix("torch."),
                "device": _name(self._device),
                "threads": torch.get_num_threads(),
                "attention": self._model.config._attn_implementation,
                "torch": torch.__version__,
                "transformers": transformers.__version__,
            }
        )

    def prepare(self, asked: Prepare) -> Prepared | Failed:
        """As a script does before it calls `generate`: chat template, tokenizer, image processor."""
        content: list[dict[str, str]] = [{"type": "image"} for _ in asked.images]
        content.append({"type": "text", "text": asked.question})
        try:
            prompt = self._template.render(({"role": "user", "content": content},), asked.images)
            self._template.room(prompt, 1)
            inputs = self._inputs.encode(prompt.text, asked.images)
        except EngineError as error:
            return Failed(str(error))
        save_file({name: value.contiguous() for name, value in inputs.items()}, asked.path)
        return Prepared(prompt.prompt_tokens)

    def answer(self, asked: Ask) -> Answered | Failed:
        """Greedy `generate`, at its length or to its own end."""
        began = self._encoded = time.perf_counter()
        inputs = {name: self._place(value) for name, value in load_file(asked.path).items()}
        prompt_tokens = inputs["input_ids"].shape[1]
        clock = TokenClock()
        try:
            with torch.inference_mode():
                self._model.generate(
                    **inputs, **self._length(asked.tokens, prompt_tokens), **_GREEDY, streamer=clock
                )
        except RuntimeError as error:  # out of memory, above all
            return Failed(f"generate: {error}")
        return Answered(began, self._encoded, tuple(clock.times[1:]), time.perf_counter(), prompt_tokens)

    def _length(self, tokens: int | None, prompt_tokens: int) -> dict[str, int]:
        """At most what the context has room for, as the engines do."""
        room = self._manifest.context_length - prompt_tokens
        if tokens is None:
            return {"max_new_tokens": min(self._manifest.decoding.max_tokens, room)}
        return {"max_new_tokens": min(tokens, room), "min_new_tokens": min(tokens, room)}

    def _place(self, value: torch.Tensor) -> torch.Tensor:
        return value.to(self._device, self._dtype) if value.is_floating_point() else value.to(self._device)

    def _note_encoded(self, *_: object) -> None:
        if self._device.type == "cuda":  # the GPU is still at it when the call returns
            torch.cuda.synchronize(self._device)
        self._encoded = time.perf_counter()


# What a checkpoint suggests for sampling is not the benchmark's: all targets choose the likeliest token.
_GREEDY: dict[str, Any] = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0}


def serve(connection: Connection, worker: Worker) -> None:
    """Until the other side is gone."""
    connection.send(worker.describe())
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            return
        reply = worker.prepare(message) if isinstance(message, Prepare) else worker.answer(message)
        connection.send(reply)


def _find_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _choose_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen: torch.dtype = getattr(torch, name)
    return chosen


def _name(device: torch.device) -> str:
    return str(torch.cuda.get_device_name(device)) if device.type == "cuda" else device.type


def main(socket: str, checkpoint: str, device: str, dtype: str) -> None:
    connection = Connection(int(socket))
    try:
        worker = Worker(Path(checkpoint), device, dtype)
    except EngineError as error:
        sys.exit(str(error))
    try:
        serve(connection, worker)
    except BrokenPipeError:  # it was let go of while it answered
        return


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The first question to a runtime pays for compilation and memory: ask it before anybody waits for it."""

import threading

import numpy as np

from radserve_engines.errors import EngineError, EngineFailed
from radserve_engines.generation import Delta, Generation, Sampling
from radserve_engines.runtime.protocol import Runtime

_PATIENCE_S = 120.0


def warm_up(runtime: Runtime, *, tokens: int = 8) -> None:
    """Ask about a grey image. Raises EngineFailed when no answer comes."""
    policy = runtime.manifest.image_policy
    image = np.full((policy.height, policy.width, 3), 127, np.uint8)
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}
    ended = threading.Event()
    failures: list[EngineError] = []

    def sink(item: Delta | EngineError) -> None:
        if isinstance(item, EngineError):
            failures.append(item)
        if isinstance(item, EngineError) or item.finish_reason:
            ended.set()

    runtime.submit(Generation((message,), (image,), Sampling(max_tokens=tokens, ignore_eos=True)), sink)
    if not ended.wait(_PATIENCE_S):
        raise EngineFailed(f"the engine did not answer its first question within {_PATIENCE_S:g} s")
    if failures:
        raise failures[0]

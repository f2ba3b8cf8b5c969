"""An engine without a model, for tests: it answers with the words of the question, one a step."""

import time
from pathlib import Path
from typing import Any

from radserve_engines.manifest import EngineManifest
from radserve_engines.runtime.answer import Answer
from radserve_engines.runtime.loop import EngineLoop


class FakeRuntime(EngineLoop):
    """Needs the folder's tokenizer and template only. The same question always gets the same answer."""

    def __init__(
        self,
        folder: Path,
        manifest: EngineManifest,
        *,
        max_running: int = 16,
        step_s: float = 0.002,
        **loop: Any,
    ) -> None:
        super().__init__(folder, manifest, **loop)
        self._max_running = max_running
        self._step_s = step_s
        self._pending: dict[int, list[int]] = {}
        self._thread.start()

    def has_slot(self, running: int) -> bool:
        return running < self._max_running

    def start(self, answer: Answer) -> None:
        answer.clock.admitted = answer.clock.encoded = time.perf_counter()
        echo = self.template.tokenizer.encode(_last_text(answer), add_special_tokens=False).ids
        if answer.generation.sampling.ignore_eos and echo:
            echo = (echo * (1 + answer.max_tokens // len(echo)))[: answer.max_tokens]
        self._pending[id(answer)] = echo

    def step(self, running: list[Answer]) -> list[Answer]:
        time.sleep(self._step_s)
        return [answer for answer in running if self._advance(answer)]

    def release(self, answer: Answer) -> None:
        self._pending.pop(id(answer), None)

    def _advance(self, answer: Answer) -> bool:
        pending = self._pending[id(answer)]
        if pending and answer.completion_tokens < answer.max_tokens:
            answer.push([pending.pop(0)], [0.0])
        full = answer.completion_tokens >= answer.max_tokens and bool(pending)
        if pending and not full and not answer.cut:
            return False
        del self._pending[id(answer)]
        answer.finish(answer.cut or ("length" if full else "stop"))
        return True


def _last_text(answer: Answer) -> str:
    content = answer.generation.messages[-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")

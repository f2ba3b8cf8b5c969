"""The shapes of answers: OpenAI's completion and its chunks, from deltas."""

import time
import uuid
from collections.abc import Iterable
from typing import Any

from radserve_server.answering import Ending
from radserve_server.backend import Delta

_LEAST_LOGPROB = -9999.0  # OpenAI's own stand-in for minus infinity, which JSON cannot say
# An answer that was cut because it repeated itself is not complete, so it must not look like "stop".
_OPENAI_REASONS = {"stop": "stop", "length": "length", "repetition": "length"}


def join_text(deltas: Iterable[Delta]) -> str:
    """The text of some deltas."""
    return "".join(delta.text for delta in deltas)


def list_logprobs(deltas: Iterable[Delta]) -> list[dict[str, Any]]:
    """OpenAI's list, one entry for a token; the last token of a delta has its text, so they join to the whole."""
    entries = []
    for delta in deltas:
        for index, logprob in enumerate(delta.logprobs, 1):
            text = delta.text if index == len(delta.logprobs) else ""
            entry = {
                "token": text,
                "logprob": max(logprob, _LEAST_LOGPROB),
                "bytes": list(text.encode()),
                "top_logprobs": [],
            }
            entries.append(entry)
    return entries


class ChatShape:
    """One answer's constants: `id`, `created` and `model`."""

    def __init__(self, model: str, logprobs: bool) -> None:
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self._logprobs = logprobs

    def opening(self) -> dict[str, Any]:
        """The first chunk, which says who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def content(self, deltas: Iterable[Delta]) -> dict[str, Any]:
        """A chunk of text."""
        deltas = tuple(deltas)
        return self._chunk({"content": join_text(deltas)}, logprobs=self._list(deltas))

    def closing(self, ending: Ending) -> dict[str, Any]:
        """The chunk that says why it ends, with `clinical`."""
        chunk = self._chunk({}, finish_reason=_OPENAI_REASONS[ending.finish_reason])
        return {**chunk, "clinical": ending.clinical}

    def usage(self, ending: Ending) -> dict[str, Any]:
        """The chunk without choices."""
        head = {**self._head, "object": "chat.completion.chunk"}
        return {**head, "choices": [], "usage": ending.usage}

    def completion(self, deltas: Iterable[Delta], ending: Ending) -> dict[str, Any]:
        """The whole answer at once."""
        deltas = tuple(deltas)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": join_text(deltas), "refusal": None},
            "logprobs": self._list(deltas),
            "finish_reason": _OPENAI_REASONS[ending.finish_reason],
        }
        head = {**self._head, "object": "chat.completion"}
        return {**head, "choices": [choice], "usage": ending.usage, "clinical": ending.clinical}

    def _list(self, deltas: Iterable[Delta]) -> dict[str, Any] | None:
        return {"content": list_logprobs(deltas), "refusal": None} if self._logprobs else None

    def _chunk(
        self,
        delta: dict[str, str],
        finish_reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._head, "object": "chat.completion.chunk", "choices": [choice]}

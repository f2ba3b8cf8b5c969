"""An answer as OpenAI's chat completions stream it, read from the bytes as they arrive."""

import json
from collections.abc import Mapping
from typing import Any

from radserve_bench.errors import BenchError, Broken
from radserve_bench.targets.protocol import Reply
from radserve_bench.targets.split import is_number

_TEXTS = ("content", "reasoning_content", "reasoning")
_GIVEN_UP = ("abort", "cancelled", "error")


class AnswerStream:
    """Feed it bytes with the time (s) at which they were read; an event has arrived when its line has ended.

    Raises Broken for an error among the events, and for what is no event.
    """

    __slots__ = ("_end", "_events", "_finished", "_rest", "clinical", "usage")

    def __init__(self) -> None:
        self.usage: Mapping[str, Any] | None = None
        self.clinical: Mapping[str, Any] = {}
        self._events: list[float] = []
        self._end = 0.0
        self._finished = ""
        self._rest = b""

    def feed(self, data: bytes, at: float) -> None:
        """Read the lines that are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                self._take(line[5:].strip(), at)

    def reply(self, sent: float) -> Reply:
        """The whole answer. Raises Broken if it is none, BenchError if it came without usage.

        It ends with its last event that has a choice: usage and the end mark, which follow, are no part of it.
        """
        if not self._finished:
            raise Broken("the stream ended before the answer was finished")
        if self._finished in _GIVEN_UP:
            raise Broken(f"the answer was given up, with finish_reason {self._finished}")
        if self.usage is None:
            raise BenchError("the endpoint gives no usage with its stream, so its tokens cannot be counted")
        first = self._events[0] if self._events else self._end
        prompt, tokens = (_count(self.usage.get(f"{what}_tokens")) for what in ("prompt", "completion"))
        return Reply(sent, first, self._end, self._events, prompt, tokens)

    def _take(self, text: bytes, at: float) -> None:
        if text == b"[DONE]":
            return
        try:
            event = json.loads(text)
            choices = event.get("choices")
            usage = event.get("usage")
            self.usage = usage if isinstance(usage, Mapping) and usage else self.usage
            self.clinical = event.get("clinical") or self.clinical
            if choices:
                self._note(choices[0], at)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise Broken(f"an event is no chat completion: {text[:200].decode(errors='replace')}") from error
        if event.get("error") or event.get("object") == "error":
            raise Broken(f"an error among the events: {error_message(event)}")

    def _note(self, choice: Mapping[str, Any], at: float) -> None:
        delta = choice.get("delta") or {}
        if any(delta.get(name) for name in _TEXTS):
            self._events.append(at)
        self._finished = self._finished or str(choice.get("finish_reason") or "")
        self._end = at


def _count(value: Any) -> int:
    return int(value) if is_number(value) else 0


def error_message(body: Any) -> str:
    """Of OpenAI's error shape, or of the others that are about: {"message"}, {"detail"}, {"error": "…"}."""
    error = body.get("error") if isinstance(body, dict) else None
    for found in (error, body):
        if isinstance(found, dict):
            for name in ("message", "detail"):
                if found.get(name):
                    return str(found[name])[:500]
    return str(error or body)[:500]

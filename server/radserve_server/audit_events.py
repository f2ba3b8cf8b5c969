"""What audit events tell of an answer: where its images lie and digests of its words, not the words."""

import hashlib
from collections.abc import Iterable
from typing import Any

from radserve_server.answer_store import KeptAnswer, Seen
from radserve_server.engine_watch import Engine


def identify_answer(answer: KeptAnswer) -> dict[str, Any]:
    """The same in every event about an answer, so that they can be joined."""
    return {
        "answer_id": answer.answer_id,
        "model": answer.model,
        "engine_digest": answer.clinical["engine"]["digest"],
        "question_sha256": _digest(answer.question),
        "answer_sha256": _digest(answer.text),
        "images": list_images(answer.seen),
    }


def identify_cut(engine: Engine, question: str, seen: Iterable[Seen]) -> dict[str, Any]:
    """Of an answer that was begun and not ended: nobody can name it, but somebody read of it."""
    return {
        "model": engine.name,
        "engine_digest": engine.description.digest,
        "question_sha256": _digest(question),
        "images": list_images(seen),
    }


def list_images(seen: Iterable[Seen]) -> list[dict[str, Any]]:
    """As under `clinical.seen`."""
    return [one.to_json() for one in seen]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""What audit events tell of an answer: where its images lie and digests of its words, not the words."""

import hashlib
from typing import Any

from radserve_server.answer_store import KeptAnswer


def identify_answer(answer: KeptAnswer) -> dict[str, Any]:
    """The same in every event about an answer, so that they can be joined."""
    return {
        "answer_id": answer.answer_id,
        "model": answer.model,
        "engine_digest": answer.clinical["engine"]["digest"],
        "question_sha256": _digest(answer.question),
        "answer_sha256": _digest(answer.text),
        "images": [seen.to_json() for seen in answer.seen],
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Finished answers, in memory for a while: reports and feedback refer to them, so that nobody can forge one."""

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from radserve_server.errors import NotFound
from radserve_server.expiring_cache import ExpiringCache
from radserve_server.pacs.archive import InstanceAddress

SHARED = "*"
"""The owner of answers to standing questions, which every caller may read; no key goes by this name."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame (from 1) that the model saw: its address in an archive or its upload's id, and its record."""

    image: InstanceAddress | str
    frame: int
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As it stands under `clinical.seen`."""
        where = {"image_id": self.image} if isinstance(self.image, str) else self.image.to_json()
        return {**where, "frame": self.frame}


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """One question and its whole answer. `clinical` is what the caller was told; `created` is in UTC."""

    answer_id: str
    question: str
    text: str
    model: str
    finish_reason: str
    clinical: Mapping[str, Any]
    seen: tuple[Seen, ...]
    created: datetime


class AnswerStore:
    """An answer is found by its own caller only, one to a standing question by all."""

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._answers: ExpiringCache[tuple[str, str], KeptAnswer] = ExpiringCache(max_bytes, ttl_s)

    def put(self, owner: str, answer: KeptAnswer) -> None:
        """Keep an answer; one that alone is over the limit is not kept."""
        size = len(answer.question) + len(answer.text) + len(json.dumps(answer.clinical))
        self._answers.put((owner, answer.answer_id), answer, size)

    def get(self, owner: str, answer_id: str, param: str) -> KeptAnswer:
        """Find an answer; raises NotFound naming `param`."""
        answer = self._answers.get((owner, answer_id)) or self._answers.get((SHARED, answer_id))
        if answer is None:
            raise NotFound(
                "there is no such answer: it was never given to this key, or it has expired; ask again",
                code="answer_not_found",
                param=param,
            )
        return answer

    def about(self, owner: str, study: str) -> list[KeptAnswer]:
        """The answers about a study, oldest first."""
        return [
            answer
            for key, answer in self._answers.items()
            if key[0] == owner
            and any(
                isinstance(seen.image, InstanceAddress) and seen.image.study == study for seen in answer.seen
            )
        ]

    def sweep(self) -> None:
        """Forget what has expired."""
        self._answers.sweep()


def make_answer_id() -> str:
    """A new one, that cannot be guessed."""
    return f"answer-{uuid.uuid4().hex}"


def list_seen(records: Iterable[Mapping[str, Any]], addresses: Sequence[InstanceAddress]) -> tuple[Seen, ...]:
    """What the records tell of: each is matched to its address by the digest of its SOP Instance UID."""
    by_digest = {hashlib.sha256(item.instance.encode()).hexdigest(): item for item in addresses}
    tiles = (tile for record in records for tile in record.get("tiles", (record,)))
    return tuple(
        Seen(
            by_digest.get(tile["sop_instance_uid_sha256"], f"sha256-{tile['source_sha256']}"),
            tile["frame"],
            tile,
        )
        for tile in tiles
    )

"""What was measured, as one JSON document, and where it is kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from radserve_bench.gateway_limits.plot import draw
from radserve_bench.gateway_limits.questions import ANSWER_TOKENS, ASKERS, QuestionRow
from radserve_bench.gateway_limits.streams import FIRST_MS, TOKEN_MS, StreamRow
from radserve_bench.gateway_limits.tables import markdown
from radserve_engines.provenance import describe_machine

NAME = "gateway-limits"
_VERSIONS = (
    "radserve",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "numpy",
    "pydicom",
    "imagecodecs",
    "pillow",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Rows of one gateway on one core, and of two gateways on two."""

    streams: Sequence[StreamRow]
    questions: Sequence[QuestionRow]
    replicas: Sequence[QuestionRow]
    took_s: float


def make_document(limits: Limits) -> dict[str, Any]:
    """JSON values; machine and versions included, nothing that names the machine or its owner."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": {name: version(name) for name in _VERSIONS},
        "settings": {
            "first_ms": FIRST_MS,
            "token_ms": TOKEN_MS,
            "answer_tokens": ANSWER_TOKENS,
            "askers": ASKERS,
            "image_side": 448,
            "workers": 1,
        },
        **asdict(limits),
    }


def save(document: Mapping[str, Any], folder: Path) -> None:
    """Write gateway-limits.json, .md and .png."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / f"{NAME}.json").write_text(f"{text}\n", "utf-8")
    (folder / f"{NAME}.md").write_text(markdown(document), "utf-8")
    draw(document, folder / f"{NAME}.png")

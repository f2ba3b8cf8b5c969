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
from radserve_bench.gateway_limits.through_triton import TritonRow
from radserve_engines.provenance import describe_machine

NAME = "gateway-limits"
IMAGE_SIDE, SMALL_SIDE = 896, 448  # px of what the model sees
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
    """Rows of one gateway on one core, of one before Triton on all cores, and of two gateways on two.

    `others_cores`: CPU seconds a second that other processes took meanwhile, of which there should be none.
    """

    streams: Sequence[StreamRow]
    triton: Sequence[TritonRow]
    questions: Sequence[QuestionRow]
    replicas: Sequence[QuestionRow]
    took_s: float
    others_cores: float


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
            "image_side": IMAGE_SIDE,
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

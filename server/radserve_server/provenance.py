"""What stands under `clinical` in an answer: which engine answered, what it saw, and how long it took."""

from collections.abc import Mapping, Sequence
from typing import Any

from radserve_server.engine_watch import Engine

_REPEATED = "the answer was ended because it repeated itself"
_CUT = "the answer was cut at its greatest length"


def describe_engine(engine: Engine) -> dict[str, Any]:
    """Name, digest and how it was built and judged."""
    manifest = engine.description.manifest
    return {
        "name": engine.name,
        "digest": engine.description.digest,
        "precision": manifest.get("precision"),
        "target": manifest.get("target"),
        "gate": engine.gate,
        "policy_sha256": engine.policy_digest,
        "intended_use": manifest.get("intended_use"),
    }


def describe_answer(
    engine: Engine, records: Sequence[Mapping[str, Any]], finish_reason: str, timings: Mapping[str, float]
) -> dict[str, Any]:
    """The whole of `clinical`."""
    warnings = [warning for record in records for warning in record["warnings"]]
    if engine.gate != "passed":
        warnings.append(f"this engine has not passed its gate (status: {engine.gate})")
    if finish_reason in ("repetition", "length"):
        warnings.append(_REPEATED if finish_reason == "repetition" else _CUT)
    return {
        "engine": describe_engine(engine),
        "images": list(records),
        "finish_reason": finish_reason,
        "warnings": list(dict.fromkeys(warnings)),
        "timings": {name: round(value, 3) for name, value in timings.items()},
    }

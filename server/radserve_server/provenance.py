"""What stands under `clinical` in an answer: which engine answered, what it saw, how sure it is, how long it took."""

from collections.abc import Mapping, Sequence
from typing import Any

from radserve_server.backend import Delta
from radserve_server.engine_watch import Engine

_REPEATED = "the answer was ended because it repeated itself"
_CUT = "the answer was cut at its greatest length"
_UNJUDGED: Mapping[str, Any] = {
    "confidence": None,
    "abstained": None,
    "reason": "this engine says nothing of its confidence",
}
_BASIS = ("question_type", "threshold", "stated_risk", "answer_logprob", "reason")


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
    engine: Engine, records: Sequence[Mapping[str, Any]], last: Delta, timings: Mapping[str, float]
) -> dict[str, Any]:
    """The whole of `clinical`, from the answer's last delta."""
    finish_reason = last.finish_reason
    judged = last.confidence or _UNJUDGED
    warnings = [*_tell_parts(records), *(warning for record in records for warning in record["warnings"])]
    if engine.gate != "passed":
        warnings.append(f"this engine has not passed its gate (status: {engine.gate})")
    if finish_reason in ("repetition", "length"):
        warnings.append(_REPEATED if finish_reason == "repetition" else _CUT)
    if judged["abstained"]:
        warnings.append(_tell_abstention(judged))
    return {
        "engine": describe_engine(engine),
        "images": list(records),
        "finish_reason": finish_reason,
        "confidence": judged["confidence"],
        "abstained": judged["abstained"],
        "confidence_basis": {name: judged.get(name) for name in _BASIS},
        "warnings": list(dict.fromkeys(warnings)),
        "timings": {name: round(value, 3) for name, value in timings.items()},
    }


def _tell_parts(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not shown of each series is not answered for."""
    tiles = [tile for record in records for tile in record.get("tiles", (record,))]
    shown: dict[tuple[str | None, int], set[int]] = {}
    for place in (tile["slice"] for tile in tiles if tile["slice"] is not None):
        shown.setdefault((place["series_sha256"], place["slices"]), set()).add(place["slice"])
    return [
        f"the model was shown {len(seen)} of {slices} slices of a series, and knows nothing of the others"
        for (_, slices), seen in shown.items()
        if len(seen) < slices
    ]


def _tell_abstention(judged: Mapping[str, Any]) -> str:
    kind, risk = judged["question_type"], judged["stated_risk"]
    told = f"the model is not confident enough in this answer ({_percent(judged['confidence'])})"
    if judged["threshold"] is None:
        return f"{told}: no confidence of it keeps wrong answers to {kind} questions within {_percent(risk)}"
    needed = f"from a confidence of {_percent(judged['threshold'])}"
    return f"{told}: only {needed} on are at most {_percent(risk)} of its answers to {kind} questions wrong"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"

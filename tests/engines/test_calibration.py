"""The manifest's `confidence` block, and what is said of an answer by it."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.calibration import Calibration, TypeCalibration, judge
from radserve_engines.errors import ManifestError
from radserve_engines.generation import Score
from radserve_engines.manifest import FILE_NAME, EngineManifest, read_manifest, write_manifest

CLOSED = TypeCalibration(0.8, -0.2, 0.6, 0.2, 0.7, 0.15, 0.19, 900, 90, 0.21, 0.03)
OPEN = TypeCalibration(0.5, -0.5, None, 0.3, 0.0, None, None, 800, 90, 0.3, 0.04)
FITTED = {"date": "2026-11-25", "sets": [{"name": "slake/validate", "sha256": "0" * 64, "answers": 1700}]}
BLOCK = Calibration({"closed": CLOSED, "open": OPEN}, FITTED)
SURE, UNSURE = Score(-0.05, 2, True), Score(-3.0, 2, True)


def test_a_calibrated_manifest_survives_writing_and_reading(
    copied_engine: Path, manifest: EngineManifest
) -> None:
    calibrated = replace(manifest, confidence=BLOCK)
    write_manifest(copied_engine, calibrated)
    assert read_manifest(copied_engine) == calibrated
    assert calibrated.digest != manifest.digest


def test_a_manifest_without_the_block_is_as_it_was(copied_engine: Path, manifest: EngineManifest) -> None:
    """Neither its JSON nor its digest knows of the field, so engines built before keep their identity."""
    assert manifest.confidence is None
    assert "confidence" not in json.loads((copied_engine / FILE_NAME).read_text())
    assert "confidence" not in manifest.to_json()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["method"], "magic", "confidence.method must be 'platt', not 'magic'"),
        (["types", "open", "slope"], -1, "confidence.types.open.slope must be a number of at least 0"),
        (["types", "open", "slope"], "1", "confidence.types.open.slope must be"),
        (["types", "open", "intercept"], None, "confidence.types.open.intercept must be"),
        (
            ["types", "closed", "threshold"],
            1.5,
            "confidence.types.closed.threshold must be a number from 0 to 1",
        ),
        (["types", "closed", "risk"], True, "confidence.types.closed.risk must be"),
        (["types", "closed", "answers"], 0, "confidence.types.closed.answers must be"),
        (["types", "closed", "colour"], 1, "confidence.types.closed.colour is not known"),
        (["types", "half"], {}, "confidence.types.half"),
        (["types"], [], "confidence.types and confidence.fitted must be JSON objects"),
        (["more"], 1, "confidence.more is not known"),
    ],
)
def test_an_ill_block_is_refused_with_the_field(
    copied_engine: Path, manifest: EngineManifest, path: list[str], value: Any, message: str
) -> None:
    given = replace(manifest, confidence=BLOCK).to_json()
    inner = given["confidence"]
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    (copied_engine / FILE_NAME).write_text(json.dumps(given))
    with pytest.raises(ManifestError) as refused:
        read_manifest(copied_engine)
    assert message in str(refused.value)


def test_a_missing_field_is_named(copied_engine: Path, manifest: EngineManifest) -> None:
    given = replace(manifest, confidence=BLOCK).to_json()
    del given["confidence"]["types"]["closed"]["risk"]
    (copied_engine / FILE_NAME).write_text(json.dumps(given))
    with pytest.raises(ManifestError, match=r"confidence\.types\.closed\.risk is missing"):
        read_manifest(copied_engine)


def test_an_answer_is_judged_by_its_question_s_type() -> None:
    sure, unsure = (judge(BLOCK, "Is this a CT?", score, 0.0) for score in (SURE, UNSURE))
    assert (sure.question_type, sure.threshold, sure.stated_risk) == ("closed", 0.6, 0.2)
    assert sure.abstained is False and unsure.abstained is True
    assert sure.confidence > 0.6 > unsure.confidence
    assert sure.answer_logprob == -0.05 and sure.reason is None
    logit = 0.8 * math.log(math.exp(-3.0) / -math.expm1(-3.0)) - 0.2
    assert unsure.confidence == round(1 / (1 + math.exp(-logit)), 3)


def test_a_type_without_a_threshold_always_abstains() -> None:
    judged = judge(BLOCK, "Which organ is shown?", SURE, 0.0)
    assert judged.abstained is True and judged.threshold is None and judged.confidence is not None


@pytest.mark.parametrize(
    ("block", "score", "temperature", "reason"),
    [
        (None, SURE, 0.0, "has not been calibrated"),
        (Calibration({"open": OPEN}, {}), SURE, 0.0, "not been calibrated on closed questions"),
        (BLOCK, SURE, 0.7, "temperature 0.7"),
        (BLOCK, Score(-0.05, 9, False), 0.0, "cut off"),
        (BLOCK, Score(math.nan, 2, True), 0.0, "no probability"),
    ],
)
def test_where_confidence_is_not_known_the_reason_is(
    block: Calibration | None, score: Score, temperature: float, reason: str
) -> None:
    judged = judge(block, "Is this a CT?", score, temperature)
    assert judged.confidence is None and judged.abstained is None and judged.threshold is None
    assert judged.reason is not None and reason in judged.reason
    assert "NaN" not in json.dumps(judged.to_json())

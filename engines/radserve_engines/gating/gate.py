"""Ask the unquantized checkpoint and the engine the same questions, judge, and write down what came of it."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from radserve_engines.evaluation.asking import Answerer
from radserve_engines.evaluation.evaluating import Answers, Settings, collect_answers
from radserve_engines.evaluation.question_sets import QuestionSet
from radserve_engines.gating.picture import draw_gate
from radserve_engines.gating.thresholds import Thresholds
from radserve_engines.gating.verdict import Verdict, judge_engine
from radserve_engines.provenance import describe_machine, list_versions

RECORD, PICTURE = "gate.json", "gate.png"
Status = Literal["passed", "failed", "simulated", "not run"]


@dataclass(frozen=True, slots=True)
class GateSettings:
    """`limit` keeps the first questions of each set; `seed` is the bootstrap's."""

    thresholds: Thresholds = field(default_factory=Thresholds)
    limit: int | None = None
    concurrency: int = 8
    seed: int = 0

    def asking(self) -> Settings:
        """How both are asked: all three conditions, greedily."""
        return Settings(limit=self.limit, concurrency=self.concurrency, seed=self.seed)


def run_gate(
    open_engine: Callable[[], Answerer],
    open_reference: Callable[[], Answerer],
    sets: Sequence[QuestionSet],
    out: Path,
    settings: GateSettings,
    *,
    reference_out: Path,
    simulated: bool = False,
    fresh: bool = False,
) -> dict[str, Any]:
    """The manifest's `gate` block, also in `out`/gate.json and, with matplotlib, gate.png.

    The engine answers first, which tells soonest if it cannot, and is closed before the checkpoint is opened: both
    need not fit into memory. `reference_out` keeps the checkpoint's answers, for the next engine of it. `simulated`
    says that the engine's own runtime was not at hand and PyTorch computed its numbers: that can fail an engine, but
    not pass it. `fresh` forgets what both folders hold. Raises EvaluationError; what was answered stays, and the same
    call goes on.
    """
    asking = settings.asking()
    print("gate: the engine answers", file=sys.stderr)
    ours = collect_answers(open_engine(), sets, out, asking, fresh=fresh)
    print("gate: the unquantized checkpoint answers", file=sys.stderr)
    theirs = collect_answers(open_reference(), sets, reference_out, asking, fresh=fresh)
    verdict = judge_engine(ours, theirs, settings.thresholds)
    block = _describe(verdict, ours, theirs, sets, settings, simulated)
    (out / RECORD).write_text(json.dumps(block, indent=2, ensure_ascii=False) + "\n", "utf-8")
    try:
        draw_gate(block, out / PICTURE)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
    return block


def _describe(
    verdict: Verdict,
    ours: Answers,
    theirs: Answers,
    sets: Sequence[QuestionSet],
    settings: GateSettings,
    simulated: bool,
) -> dict[str, Any]:
    status: Status = "failed" if not verdict.passed else "simulated" if simulated else "passed"
    names = ("name", "digest", "target", "precision")
    identities = (one.identity.to_json() for one in (theirs, ours))
    reference, judged = ({name: one.get(name) for name in names} for one in identities)
    return {
        "status": status,
        **verdict.to_json(),
        "reference": reference,
        "judged": {**judged, "simulated": simulated},
        "sets": [one.to_json() for one in sets],
        "limit": settings.limit,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "versions": list_versions(),
    }

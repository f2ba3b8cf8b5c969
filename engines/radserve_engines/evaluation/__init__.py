"""Evaluation of whatever answers questions on images: engines, checkpoints, servers. `radserve engine eval`.

A set goes through in six steps: `question_sets` reads and checks it, `asking` plans what is asked under which
condition, an answerer (`engine_answerer`, `server_answerer`) answers, `journal` keeps each answer, `judging` holds
it against the truth, and `report` sums up scores, sensitivity, calibration and comparison. In Python, for a baseline
and an engine alike:

    sets, settings = load_sets([Path("validate.jsonl")]), Settings(sensitivity=False)
    baseline = collect_answers(open_target("checkpoint"), sets, Path("results/baseline"), settings)
    engine = collect_answers(open_target("engine"), sets, Path("results/engine"), settings)
    report = build_report(engine, comparison=compare_answers(engine, baseline))
"""

from radserve_engines.evaluation.asking import Answerer, Ask, Identity, Outcome
from radserve_engines.evaluation.comparison import Comparison, compare
from radserve_engines.evaluation.evaluating import Answers, Settings, collect_answers, compare_answers
from radserve_engines.evaluation.question_sets import QuestionSet, load_sets
from radserve_engines.evaluation.report import Report, build_report
from radserve_engines.evaluation.targets import open_target

__all__ = [
    "Answerer",
    "Answers",
    "Ask",
    "Comparison",
    "Identity",
    "Outcome",
    "QuestionSet",
    "Report",
    "Settings",
    "build_report",
    "collect_answers",
    "compare",
    "compare_answers",
    "load_sets",
    "open_target",
]

"""Evaluation of whatever answers questions on images: engines, checkpoints, servers. `radserve engine eval`.

A set goes through in six steps: `question_sets` reads and checks it, `asking` plans what is asked under which
condition, an answerer (`engine_answerer`, `server_answerer`) answers, `journal` keeps each answer, `judging` holds
it against the truth, and `report` sums up scores, sensitivity, calibration and comparison.
"""

from radserve_engines.evaluation.asking import Answerer, Ask, Identity, Outcome
from radserve_engines.evaluation.comparison import Comparison, compare
from radserve_engines.evaluation.evaluating import Answers, Settings, collect_answers
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
    "load_sets",
    "open_target",
]

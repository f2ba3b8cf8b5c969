"""The gate: an engine's answers held against those of the unquantized checkpoint, on a labelled medical set."""

from radserve_engines.gating.gate import GateSettings, run_gate
from radserve_engines.gating.thresholds import Thresholds
from radserve_engines.gating.verdict import Verdict, judge_engine

__all__ = ["GateSettings", "Thresholds", "Verdict", "judge_engine", "run_gate"]

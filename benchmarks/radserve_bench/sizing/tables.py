"""The tables of docs/sizing.md."""

from collections.abc import Mapping
from typing import Any

from radserve_bench.gateway_limits.tables import question_table, replica_table, stream_table, triton_table
from radserve_bench.reporting.table import Table
from radserve_bench.sizing.reckoning import MIX, Need, engine_of, size
from radserve_bench.sizing.report import hospital_table, kind_table

HOSPITALS = (50, 200, 1000)
_MODEL, _GPU, _PRECISION, _IMAGE = "qwen2.5-vl-7b", "H100", "fp8", (896, 896)
_MIXES: Mapping[str, Mapping[str, float]] = {
    "CT slices, uncompressed": {"ct": 1.0},
    "X-rays, uncompressed": {"xray": 1.0},
    "X-rays, JPEG 2000": {"xray-j2k": 1.0},
    "CT series of 20 slices": {"series": 1.0},
}


def sizing_tables(limits: Mapping[str, Any]) -> dict[str, Table]:
    """By the name that the page has for each; `limits` as `read_limits` gives them."""
    engine = engine_of(_MODEL, _GPU, _PRECISION, _IMAGE)
    hospitals = {f"{one:,} studies/h": size(Need(one, MIX), engine, limits) for one in HOSPITALS}
    largest = max(HOSPITALS)
    mixes = {name: size(Need(largest, mix), engine, limits) for name, mix in _MIXES.items()}
    return {
        "hospitals": hospital_table("A mix of studies", hospitals),
        "mixes": hospital_table(f"{largest:,} studies an hour of one kind", mixes),
        "kinds": kind_table(hospitals[f"{largest:,} studies/h"]),
        "questions": question_table(limits),
        "streams": stream_table(limits),
        "triton": triton_table(limits),
        "replicas": replica_table(limits),
    }

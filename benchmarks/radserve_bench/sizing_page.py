"""`python -m radserve_bench.sizing_page`: fills the tables of docs/sizing.md, between their marks, from the figures."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radserve_bench.errors import BenchError
from radserve_bench.gateway_limits.tables import question_table, replica_table, stream_table, triton_table
from radserve_bench.reporting.table import Table
from radserve_bench.sizing import MIX, Need, engine_of, read_limits, size
from radserve_bench.sizing_report import hospital_table, kind_table

PAGE = Path("docs/sizing.md")
HOSPITALS = (50, 200, 1000)
_MODEL, _GPU, _PRECISION, _IMAGE = "qwen2.5-vl-7b", "H100", "fp8", (896, 896)
_MIXES: Mapping[str, Mapping[str, float]] = {
    "CT slices, uncompressed": {"ct": 1.0},
    "X-rays, uncompressed": {"xray": 1.0},
    "X-rays, JPEG 2000": {"xray-j2k": 1.0},
    "CT series of 20 slices": {"series": 1.0},
}
_MARKED = re.compile(r"(<!-- table: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(page: str, limits: Mapping[str, Any]) -> str:
    """The page with its tables made anew. Raises BenchError for a mark that names no table, or is missing."""
    tables = _tables(limits)
    named = [match["name"] for match in _MARKED.finditer(page)]
    if sorted(named) != sorted(tables):
        raise BenchError(f"the page must have these tables: {', '.join(tables)}; it has {', '.join(named)}")
    return _MARKED.sub(lambda match: f"{match[1]}{tables[match['name']].markdown()}\n{match[3]}", page)


def _tables(limits: Mapping[str, Any]) -> dict[str, Table]:
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


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text("utf-8"), read_limits()), "utf-8")

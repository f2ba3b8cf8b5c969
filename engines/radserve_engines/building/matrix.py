"""Which family takes which precision on which target, as Markdown: `python -m radserve_engines.building.matrix`.

Every cell is what `choose_path` says, so the page that holds the table cannot promise what a build would refuse.
"""

from pathlib import Path

from radserve_engines.building.request import BuildRequest, choose_path
from radserve_engines.errors import BuildRefused
from radserve_engines.families import Family, list_families
from radserve_engines.precision import PRECISIONS, gpus_of

_SIGNS = {"llm-api": "L", "compiled": "C"}
_NOWHERE = Path()


def matrix() -> str:
    """One row a family, one column a precision; and what each precision needs."""
    names = list(PRECISIONS)
    rows = [
        f"| {family.title} | {' | '.join(_cell(family, name) for name in names)} |"
        for family in list_families()
    ]
    needs = [
        f"| {one.name} | {one.title} | {one.quant_algo or ''} | {gpus_of(one)} |"
        for one in PRECISIONS.values()
    ]
    return "\n".join(
        [
            f"| family | {' | '.join(names)} |",
            f"| {' | '.join(['---'] * (len(names) + 1))} |",
            *rows,
            "",
            "| precision | | `quant_algo` | GPUs |",
            "| --- | --- | --- | --- |",
            *needs,
        ]
    )


def _cell(family: Family, precision: str) -> str:
    signs = []
    for target, sign in (("trtllm", ""), ("openvino", "O"), ("torch", "P")):
        try:
            path = choose_path(BuildRequest(_NOWHERE, _NOWHERE, target, precision), family)
        except BuildRefused:
            continue
        signs.append(_SIGNS[path] if path else sign)
    return " ".join(signs) or "–"


if __name__ == "__main__":
    print(matrix())

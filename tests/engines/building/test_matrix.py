"""The page on engines says what the code does."""

from pathlib import Path

from radserve_engines.building.matrix import matrix
from radserve_engines.gating import Thresholds

PAGE = Path(__file__).parents[3] / "docs" / "engines.md"


def test_the_page_has_the_matrix_as_the_code_has_it() -> None:
    assert matrix() in PAGE.read_text(), "python -m radserve_engines.building.matrix prints it"


def test_the_page_names_every_threshold_with_its_default() -> None:
    page = PAGE.read_text()
    for name, value in Thresholds().to_json().items():
        (row,) = [line for line in page.splitlines() if line.startswith("|") and f"`{name}`" in line]
        assert f"{value:g}" in row.split("|")[2]

"""What the pages say of figures is what the code and its results say."""

from pathlib import Path

import pytest

from radserve_bench.pages import PAGES, renewed


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_tables_of_a_page_are_those_of_code_and_results(page, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    assert page.read_text() == renewed(page), "run python -m radserve_bench.pages"

"""The INT8 engine says what the PyTorch baseline says: same prompt, same pixels, greedy, real validation questions."""

from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.evaluation import Settings, collect_answers, compare_answers, load_sets, open_target
from radserve_engines.evaluation.question_sets import QuestionSet

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WANTED = 200


def chosen_questions() -> list[QuestionSet]:
    """Every k-th validation question over all sets."""
    sets = load_sets(sorted(DATA.glob("*/validate.jsonl")))
    step = sum(len(one.questions) for one in sets) // WANTED
    return [replace(one, questions=one.questions[::step]) for one in sets]


@pytest.mark.timeout(600)
def test_at_least_95_percent_of_greedy_answers_agree(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    if not DATA.is_dir():
        pytest.skip("the shared medical question sets are not beside this checkout")
    sets, settings = chosen_questions(), Settings(max_tokens=32, sensitivity=False)
    engine, baseline = (
        collect_answers(open_target(str(folder), max_tokens=32), sets, tmp_path / folder.name, settings)
        for folder in (demo_engine(), demo_checkpoint())
    )
    found = compare_answers(engine, baseline)
    assert found.questions >= WANTED
    assert (
        len({one.outcome.text for one in baseline.judged}) > 20
    )  # a model of one answer only would agree as well
    assert found.flipped is not None
    assert found.flipped.value <= 5

"""The shipped engine looks at the image: well above what the question alone gives away, on every second image."""

from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.assets import demo_engine
from radserve_engines.evaluation import Settings, build_report, collect_answers, load_sets, open_target

SLAKE = Path(__file__).resolve().parents[3] / "shared" / "data" / "slake"


@pytest.mark.timeout(600)
def test_slake_is_answered_from_the_image(tmp_path: Path) -> None:
    """The bars are the demo model's own, less what half of the images may lose by chance."""
    if not SLAKE.is_dir():
        pytest.skip("the shared medical question sets are not beside this checkout")
    (whole,) = load_sets([SLAKE / "validate.jsonl"])
    kept = set(sorted({item.image for item in whole.questions})[::2])
    half = replace(whole, questions=tuple(item for item in whole.questions if item.image in kept))
    answers = collect_answers(open_target(str(demo_engine())), [half], tmp_path, Settings(concurrency=16))
    report = build_report(answers)
    assert report.overall.questions == len(half.questions) > 400
    assert report.overall.accuracy.value > 68
    assert report.overall.closed.value > 74
    assert report.overall.open.value > 62
    swapped = report.sensitivity["swapped"]
    assert swapped.fall.value > 10 and swapped.changed.value > 30

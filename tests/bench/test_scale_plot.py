"""What grows is found by the kinds' names, with the plain workload as one of its values."""

import pytest

from radserve_bench.reporting.scale_plot import draw_scale, grown


def entry(workload: str, amount: int = 1, ttft: float = 20.0) -> dict:
    metrics = {"ttft_p50_ms": {"median": ttft}, "tokens_per_s": {"median": 100.0}}
    return {
        "target": "server",
        "workload": workload,
        "load": {"kind": "closed", "amount": amount},
        "metrics": metrics,
    }


def document(*points: dict) -> dict:
    return {"points": list(points), "targets": [{"name": "server"}]}


def test_each_thing_has_its_values_and_the_plain_one():
    plain = [entry("ct-slice", amount) for amount in (1, 2, 4)]
    kinds = [entry(f"ct-slice {kind}") for kind in ("images=2", "images=4", "side=256", "side=1024")]
    lengths = [entry(f"ct-slice, {tokens} tokens") for tokens in (8, 128)]
    found = {
        growth.label: sorted(v for v, _ in pairs)
        for growth, pairs in grown(document(*plain, *kinds, *lengths)).items()
    }
    assert found == {
        "questions at once": [1, 2, 4],
        "images a question": [1, 2, 4],
        "pixels along a side": [256, 512, 1024],
        "tokens an answer": [8, 32, 128],
    }


def test_more_load_alone_is_not_a_scale_study():
    assert not grown(document(*(entry("ct-slice", amount) for amount in (1, 2, 4, 8))))
    assert not grown(document())


def test_it_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    points = [entry("ct-slice"), *(entry(f"ct-slice images={count}", ttft=10.0 * count) for count in (2, 4))]
    draw_scale(document(*points), tmp_path / "scale.png")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")

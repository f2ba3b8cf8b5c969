"""The project's own figures of what fast means, out of the roofline."""

import pytest

from radserve_engines.planning.gpus import GPUS, gpu_named
from radserve_engines.planning.model_size import ModelSize, size_of
from radserve_engines.planning.question import question_for
from radserve_engines.planning.roofline import EXPECTED, FLOOR, Efficiency, Roofline
from radserve_engines.precision import PRECISIONS

HALF = Efficiency(0.5, 0.5, 0.0)


def roofline(
    name: str,
    precision: str = "bf16",
    side: int = 896,
    efficiency: Efficiency = FLOOR,
    gpus: int = 1,
    card: str = "H100",
    **more: object,
) -> Roofline:
    size: ModelSize = size_of(name)
    question = question_for(size, image=(side, side), **more)
    return Roofline(size, GPUS[card], PRECISIONS[precision], question, gpus, efficiency)


@pytest.mark.parametrize(
    ("name", "precision", "rate"),
    [
        ("qwen2.5-vl-3b", "bf16", 539),
        ("qwen2.5-vl-3b", "fp8", 974),
        ("qwen2.5-vl-7b", "bf16", 236),
        ("qwen2.5-vl-7b", "fp8", 436),
    ],
)
def test_decode_floor_on_an_h100(name, precision, rate):
    assert roofline(name, precision).tokens_per_second(1) == pytest.approx(rate, rel=0.02)


def test_inter_token_floor_of_the_3b():
    assert roofline("qwen2.5-vl-3b").step(1) * 1e3 == pytest.approx(1.86, rel=0.02)
    assert roofline("qwen2.5-vl-3b", "fp8").step(1) * 1e3 == pytest.approx(1.03, rel=0.02)


@pytest.mark.parametrize(("side", "milliseconds"), [(896, 12.0), (448, 3.2)])
def test_prefill_floor_of_the_3b(side, milliseconds):
    one = roofline("qwen2.5-vl-3b", side=side)
    assert one.ttft() * 1e3 == pytest.approx(milliseconds, rel=0.02)
    assert roofline("qwen2.5-vl-3b", side=side, efficiency=HALF).ttft() == pytest.approx(2 * one.ttft())


def test_saturation_of_the_3b_at_half_of_the_peak():
    requests = roofline("qwen2.5-vl-3b", efficiency=HALF).requests_per_second(256)
    assert requests == pytest.approx(34, rel=0.02)
    assert requests * 128 == pytest.approx(4_400, rel=0.02)


def test_decoding_grows_with_the_batch_until_arithmetic_bounds_it():
    one = roofline("llava-1.5-7b", card="A100-80", context=800)
    assert one.crossover() is None  # no grouped KV heads: reading the cache always takes longer
    one = roofline("qwen2.5-vl-7b", card="A100-80")
    at = one.crossover()
    assert at is not None and at > 100
    # From there on each further answer costs as much again, so tokens/s stand still.
    assert one.tokens_per_second(4 * at) == pytest.approx(one.tokens_per_second(2 * at), rel=1e-6)
    assert one.tokens_per_second(at) > 1.2 * one.tokens_per_second(at // 2)
    language = one.size.language
    attention = 4 * 1164 * language.hidden * language.layers
    assert one.step(2 * at) * one.gpu.bf16 == pytest.approx(
        2 * at * (2 * language.linear + 2 * language.head + attention)
    )


def test_weight_only_precisions_speed_up_decoding_and_not_the_prefill():
    bf16, int8, fp8 = (roofline("qwen2.5-vl-7b", name) for name in ("bf16", "int8", "fp8"))
    assert int8.prefill() == bf16.prefill()
    assert fp8.prefill() < 0.6 * bf16.prefill()
    assert int8.step(1) == fp8.step(1) < 0.6 * bf16.step(1)
    assert fp8.vision() == bf16.vision()  # stays bf16


def test_int8_multiplies_as_int8_where_there_is_no_fp8():
    a100 = GPUS["A100-80"]
    assert a100.peak(PRECISIONS["int8-sq"]) == 2 * a100.peak(PRECISIONS["int8"]) == a100.int8
    assert GPUS["B200"].peak(PRECISIONS["nvfp4"]) == 2 * GPUS["B200"].peak(PRECISIONS["fp8"])


def test_more_gpus_are_faster_but_never_in_proportion():
    one, four = roofline("qwen2.5-vl-72b"), roofline("qwen2.5-vl-72b", gpus=4)
    assert one.step(1) / 4 < four.step(1) < one.step(1) / 3.8
    assert four.vision() == one.vision()  # every GPU runs the whole tower
    linked = roofline("qwen2.5-vl-72b", gpus=4, card="L40S")
    assert linked.prefill() > 1.3 * roofline("qwen2.5-vl-72b", card="L40S").prefill() / 4  # PCIe


def test_what_to_expect_counts_the_latency_of_every_all_reduce():
    two = roofline("qwen2.5-vl-3b", gpus=2, efficiency=EXPECTED)
    without = roofline("qwen2.5-vl-3b", gpus=2, efficiency=Efficiency(0.5, 0.65, 0.0))
    assert two.step(1) - without.step(1) == pytest.approx(2 * 36 * GPUS["H100"].link_latency)


def test_a_text_only_model_has_no_vision_time():
    assert roofline("bloom-7b1").vision() == 0
    assert roofline("bloom-7b1").question.prompt == 76


@pytest.mark.parametrize("name", GPUS)
def test_data_sheets_are_read_without_sparsity(name):
    """Dense tensor-core FLOP of a byte of bandwidth lie between 150 and 450 on all of them; sparse ones do not."""
    gpu = gpu_named(name.lower())
    assert 150 < gpu.bf16 / gpu.bandwidth < 450
    assert gpu.int8 == pytest.approx(2 * gpu.bf16, rel=0.02)
    assert (gpu.fp8 is None) == (gpu.architecture == "ampere")
    assert (gpu.fp4 is None) == (gpu.architecture != "blackwell")
    assert "data sheet" in gpu.source

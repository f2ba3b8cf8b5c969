"""What a GPU has to hold, and what fits."""

import pytest

from radserve_engines.errors import PlanError
from radserve_engines.planning.gpus import GPUS, gpu_named
from radserve_engines.planning.memory import (
    GIB,
    division_fault,
    largest_batch,
    memory_for,
    weight_bytes,
    weights_on_gpu,
)
from radserve_engines.planning.model_size import size_of
from radserve_engines.planning.question import question_for
from radserve_engines.planning.training_memory import training_memory
from radserve_engines.precision import PRECISIONS

SIZE = size_of("qwen2.5-vl-7b")


def test_bf16_weights_are_two_bytes_a_parameter():
    for name in ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "medgemma-4b", "blip2-flan-t5-xl"):
        size = size_of(name)
        assert weights_on_gpu(size, PRECISIONS["bf16"], 1) == 2 * size.parameters


def test_recipes_quantize_the_layers_and_nothing_else():
    bf16, fp8, awq = (weights_on_gpu(SIZE, PRECISIONS[name], 1) for name in ("bf16", "fp8", "int4-awq"))
    assert bf16 - fp8 == SIZE.language.linear
    assert bf16 - awq == pytest.approx(SIZE.language.linear * (2 - 0.5 - 2 / 128))
    assert weight_bytes(PRECISIONS["nvfp4"]) == 0.5625  # 4 bits, and 8 of scale for every 16 weights


def test_an_exported_checkpoint_takes_what_is_planned(tmp_path):
    """Held against a real file: the plan's bytes for bf16 are the demo checkpoint's, but for its header."""
    from radserve_engines.assets import demo_checkpoint

    planned = weights_on_gpu(size_of(str(demo_checkpoint())), PRECISIONS["bf16"], 1)
    assert planned == pytest.approx((demo_checkpoint() / "model.safetensors").stat().st_size, rel=0.002)


def test_tensor_parallel_divides_the_language_model_and_repeats_the_vision_side():
    one, two = (weights_on_gpu(SIZE, PRECISIONS["bf16"], count) for count in (1, 2))
    repeated = 2 * (SIZE.vision.parameters + SIZE.language.other)
    assert two - repeated == (one - repeated) / 2


def test_the_kv_cache_grows_by_whole_blocks_and_halves_in_fp8():
    memories = [
        memory_for(SIZE, GPUS["H100"], PRECISIONS["bf16"], question_for(SIZE, context=context, kv=kv), 1)
        for context, kv in ((1185, "bf16"), (1216, "bf16"), (1217, "bf16"), (1216, "fp8"), (1216, "int8"))
    ]
    first, second, third, fp8, int8 = (memory.kv for memory in memories)
    assert first == second == 8 * 1216 * 57_344
    assert third == 8 * 1248 * 57_344
    assert fp8 == int8 == second / 2


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("precision", ["bf16", "int4-awq"])
def test_the_largest_batch_fits_and_one_more_does_not(gpu, precision):
    question, card, how = question_for(SIZE), GPUS[gpu], PRECISIONS[precision]
    most = largest_batch(SIZE, card, how, question, 1)
    assert most > 0
    assert memory_for(SIZE, card, how, question, 1, most).fits
    assert not memory_for(SIZE, card, how, question, 1, most + 1).fits


def test_nothing_fits_where_the_weights_do_not():
    size = size_of("qwen2.5-vl-72b")
    question = question_for(size)
    assert largest_batch(size, GPUS["H100"], PRECISIONS["bf16"], question, 1) == 0
    memory = memory_for(size, GPUS["H100"], PRECISIONS["bf16"], question, 1)
    assert memory.spare < -50 * GIB


def test_larger_images_take_more_activations():
    sizes = [question_for(SIZE, image=(side, side)) for side in (448, 896, 1792)]
    needed = [memory_for(SIZE, GPUS["H100"], PRECISIONS["bf16"], one, 1, 1).activations for one in sizes]
    assert needed[0] < needed[1] < needed[2]


@pytest.mark.parametrize(
    ("name", "precision", "gpus", "fault"),
    [
        ("qwen2.5-vl-7b", "bf16", 4, None),
        ("qwen2.5-vl-7b", "bf16", 8, "28 attention heads are not divisible by 8"),
        ("qwen2.5-vl-7b", "bf16", 7, "4 KV heads and 7 GPUs"),
        ("qwen2.5-vl-3b", "bf16", 8, None),
        (
            "qwen2.5-vl-3b",
            "int4-awq",
            4,
            "intermediate_size: 11008 is not divisible by 4 × 128, int4-awq's group",
        ),
        ("medgemma-4b", "bf16", 3, "8 attention heads"),
    ],
)
def test_a_division_that_does_not_come_out_even_is_refused(name, precision, gpus, fault):
    said = division_fault(size_of(name).language, PRECISIONS[precision], gpus)
    assert said is None if fault is None else fault in said


def test_training_takes_sixteen_bytes_and_zero_divides_them():
    assert training_memory(1000, 1).stages == (16_000, 16_000, 16_000, 16_000)
    # Rajbhandari et al., figure 1: 7.5 B parameters on 64 GPUs: 120, 31.4, 16.6, 1.9 GB.
    stages = [round(each / 1e9, 1) for each in training_memory(7_500_000_000, 64).stages]
    assert stages == [120.0, 31.4, 16.6, 1.9]


def test_the_context_leaves_the_text_what_images_and_answer_do_not_take():
    question = question_for(SIZE, context=2000, images=1)
    assert (question.text, question.prompt, question.context) == (848, 1872, 2000)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"context": 1000}, "--context: 1000 tokens hold no question: 1 × 1024 of images and 128 of answer"),
        ({"images": -1}, "--images: -1 is less than 0"),
        ({"batch": 0}, "--batch: 0 is less than 1"),
        ({"kv": "fp4"}, "--kv: 'fp4' is not known; known: bf16, fp8, int8"),
    ],
)
def test_numbers_that_make_no_sense_are_named(given, said):
    with pytest.raises(PlanError, match=said):
        question_for(SIZE, **given)


def test_an_unknown_gpu_is_answered_with_those_known():
    assert gpu_named("a100-80") is GPUS["A100-80"]
    with pytest.raises(PlanError, match="'A100' is not known here; say A100-40 or A100-80; known: A100-40"):
        gpu_named("A100")

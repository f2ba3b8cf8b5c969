"""Each family from a sharded checkpoint, an adapter merged, to a quantized one; and what the checks catch."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from radserve_engines.checkpoints import merge_adapters, read_checkpoint
from radserve_engines.checkpoints.miniatures import make_miniature
from radserve_engines.errors import BuildFailed, BuildRefused
from radserve_engines.generation import Generation, Sampling
from radserve_engines.precision import PRECISIONS
from radserve_engines.quantization import quantize_checkpoint
from radserve_engines.quantization.export_check import check_export
from radserve_engines.quantization.recipe import make_recipe

ROUTES = {  # family, and the modules of a LoRA that is merged first; precision, KV cache
    "qwen2_vl": (None, "int8", None),
    "qwen2_5_vl": (["q_proj", "down_proj"], "fp8", "fp8"),
    "qwen3_vl": (None, "fp8", None),
    "llava": (None, "int8-sq", None),
    "llava_next": (None, "fp8", None),
    "llava_onevision": (None, "int8", None),
    "gemma3": (["q_proj", "v_proj"], "fp8", None),
    "blip-2/opt": (None, "int8", None),
    "blip-2/bloom": (["query_key_value"], "int8-sq", None),
    "blip-2/t5": (None, "fp8", None),
    "internvl": (None, "int8", None),
    "phi4_multimodal": (None, "fp8", None),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def samples(count=2):
    made = np.random.default_rng(0)
    parts = [{"type": "image"}, {"type": "text", "text": "What?"}]
    images = [made.integers(0, 256, (56, 56, 3), np.uint8) for _ in range(count)]
    return [Generation(({"role": "user", "content": parts},), (image,), Sampling()) for image in images]


def silent(done, total):
    pass


@pytest.mark.parametrize("name", ROUTES)
def test_each_family_goes_from_shards_to_a_quantized_checkpoint(name, make_adapter, tmp_path):
    targets, precision, kv = ROUTES[name]
    source = make_miniature(name, tmp_path / "checkpoint")
    if targets:
        merge_adapters(read_checkpoint(source), [make_adapter(source, targets)], tmp_path / "merged")
        source = tmp_path / "merged"
    heard, out = [], tmp_path / "out"
    record = quantize_checkpoint(
        *(source, out, PRECISIONS[precision]),
        kv=kv,
        samples=samples(),
        note=lambda done, total: heard.append((done, total)),
    )
    said = json.loads((out / "hf_quant_config.json").read_text())["quantization"]
    assert said["quant_algo"] == PRECISIONS[precision].quant_algo == record["quant_algo"]
    assert said["kv_cache_quant_algo"] == (kv and "FP8")
    family = read_checkpoint(source).family
    assert set(family.excluded) <= set(said["exclude_modules"])
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == [family.architecture] and config["model_type"] == family.name
    assert config["quantization_config"]["quant_method"] == "modelopt"
    assert record["modules"] >= 8 and record["scales"] >= record["modules"]
    assert record["untouched_tensors"] > 20 and (heard == [] or heard[-1] == (2, 2))
    assert {"tokenizer.json", "preprocessor_config.json", "chat_template.jinja"} <= {
        p.name for p in out.iterdir()
    }


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return make_miniature("qwen2_5_vl", tmp_path_factory.mktemp("qwen") / "checkpoint")


@pytest.mark.parametrize(("precision", "group"), [("int4-awq", 128), ("nvfp4", 16)])
def test_group_sizes_are_the_matrixs(qwen, tmp_path, precision, group):
    """NVFP4 with images: ModelOpt alone stops there, for want of a GPU, in the vision tower's convolution."""
    record = quantize_checkpoint(
        qwen, tmp_path, PRECISIONS[precision], kv=None, samples=samples(1), note=silent
    )
    assert record["group_size"] == group
    assert record["weights_bytes"] < 0.6 * sum(p.stat().st_size for p in qwen.glob("*.safetensors"))


def test_smoothquant_moves_half_of_the_range_into_the_weights(qwen, tmp_path):
    """ModelOpt's own exponent is 1.0, which moves all of it."""
    recipe = make_recipe(PRECISIONS["int8-sq"], read_checkpoint(qwen).family)
    assert recipe["algorithm"] == {"method": "smoothquant", "alpha": 0.5}
    quantize_checkpoint(qwen, tmp_path, PRECISIONS["int8-sq"], kv=None, samples=samples(), note=silent)
    scale = load_file(tmp_path / "model.safetensors")["model.layers.0.mlp.down_proj.pre_quant_scale"]
    assert scale.float().std() > 0


@pytest.fixture(scope="module")
def exported(qwen, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported")
    quantize_checkpoint(qwen, out, PRECISIONS["fp8"], kv=None, samples=samples(), note=silent)
    return out


def damage(folder, change):
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, {"format": "pt"})


def zero_a_scale(tensors):
    tensors["model.layers.1.mlp.up_proj.input_scale"].zero_()


def spoil_a_scale(tensors):
    tensors["model.layers.0.self_attn.k_proj.weight_scale"].fill_(float("nan"))


def move_the_tower(tensors):
    tensors["visual.blocks.1.attn.qkv.weight"][0, 0] += 1


DAMAGES = {
    zero_a_scale: r"model\.layers\.1\.mlp\.up_proj\.input_scale is not finite and positive",
    spoil_a_scale: r"model\.layers\.0\.self_attn\.k_proj\.weight_scale is not finite",
    move_the_tower: r"visual\.blocks\.1\.attn\.qkv\.weight is not what it was",
}


@pytest.mark.parametrize("change", DAMAGES)
def test_an_export_that_is_wrong_is_not_believed(qwen, exported, tmp_path, change):
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    check = (read_checkpoint(qwen), read_checkpoint(out), PRECISIONS["fp8"], None)
    assert check_export(*check)["scales"] == 28
    damage(out, change)
    with pytest.raises(BuildFailed, match=DAMAGES[change]):
        check_export(*check)


def test_another_algorithm_than_was_asked_for_is_told(qwen, exported):
    checkpoints = (read_checkpoint(qwen), read_checkpoint(exported))
    with pytest.raises(BuildFailed, match=r"hf_quant_config\.json: quant_algo is 'FP8', not 'W8A16'"):
        check_export(*checkpoints, PRECISIONS["int8"], None)
    with pytest.raises(BuildFailed, match=r"kv_cache_quant_algo is None, not 'FP8'"):
        check_export(*checkpoints, PRECISIONS["fp8"], "fp8")


def test_what_cannot_be_made_is_refused_before_any_work(qwen, exported, tmp_path):
    def ask(source, precision, kv=None):
        quantize_checkpoint(source, tmp_path, PRECISIONS[precision], kv=kv, samples=samples(1), note=silent)

    with pytest.raises(BuildRefused, match=r"ModelOpt makes no GPTQ weights; .* or take int4-awq"):
        ask(qwen, "int4-gptq")
    with pytest.raises(BuildRefused, match="int8 KV cache: take fp8"):
        ask(qwen, "int8-sq", "int8")
    with pytest.raises(BuildRefused, match=r"quantized already \(modelopt\).*give the bf16 checkpoint"):
        ask(exported, "int8")
    with pytest.raises(BuildRefused, match="nothing to quantize"):
        ask(qwen, "bf16")


def test_groups_that_do_not_divide_a_width_are_refused_by_name(tmp_path):
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    folder = make_miniature("llava", tmp_path / "checkpoint")
    config = LlavaConfig.from_pretrained(folder)
    config.text_config.intermediate_size = 200
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    with pytest.raises(BuildRefused, match=r"groups of 128.*200 inputs of .*mlp\.down_proj: take int8"):
        quantize_checkpoint(
            folder, tmp_path, PRECISIONS["int4-awq"], kv=None, samples=samples(1), note=silent
        )


def test_a_gptq_checkpoint_is_taken_as_it_is(qwen, tmp_path):
    source = Path(shutil.copytree(qwen, tmp_path / "gptq"))
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4, "group_size": 128}
    (source / "config.json").write_text(json.dumps(config))
    record = quantize_checkpoint(
        source, tmp_path / "out", PRECISIONS["int4-gptq"], kv=None, samples=[], note=silent
    )
    assert record == {"precision": "int4-gptq", "by": "gptq", "group_size": 128}
    assert read_checkpoint(tmp_path / "out").quantized == "gptq"

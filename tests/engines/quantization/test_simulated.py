"""The simulated model computes what ModelOpt's own fake-quantized model does, from the exported file alone."""

import copy
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from radserve_engines.errors import CheckpointError
from radserve_engines.quantization.simulated import load_simulated

FORMATS = {
    "fp8": "FP8_DEFAULT_CFG",
    "fp8, cache fp8": "FP8_DEFAULT_CFG",
    "int8": "INT8_WEIGHT_ONLY_CFG",
    "int8, cache fp8": "INT8_WEIGHT_ONLY_CFG",
    "int8-sq": "INT8_SMOOTHQUANT_CFG",
    "int4-awq": "INT4_AWQ_CFG",
    "w4a8-awq": "W4A8_AWQ_BETA_CFG",
    "nvfp4": "NVFP4_DEFAULT_CFG",
}
VISION = ("*visual*", "*vision_tower*", "*multi_modal_projector*")
IDS = torch.randint(0, 59, (2, 24), generator=torch.Generator().manual_seed(1))


def tiny_qwen() -> Any:
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 128,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 64,
            "rope_scaling": {"type": "default", "mrope_section": [4, 6, 6]},
            "tie_word_embeddings": True,
        },
        vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2}
        | {"out_hidden_size": 128, "fullatt_block_indexes": [0]},
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def tiny_llava() -> Any:
    text = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 4, "vocab_size": 64}
    vision = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 32, "image_size": 28}
    vision |= {"num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}
    return LlavaForConditionalGeneration(LlavaConfig(text_config=text, vision_config=vision))


@dataclass(frozen=True)
class Exported:
    """What ModelOpt held in memory as it exported, and what it wrote. `plain` are the unquantized logits."""

    folder: Path
    logits: torch.Tensor
    weights: dict[str, torch.Tensor]
    plain: torch.Tensor


def quantize_nvfp4(values: torch.Tensor, block: int, amax: torch.Tensor, *_: int) -> torch.Tensor:
    """ModelOpt's packing there and back: its kernel for this wants a GPU."""
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    whole = amax.float().amax() / (6 * 448)
    packed, scale, _ = NVFP4QTensor.quantize(values.clone(), block, None, whole)
    return packed.dequantize(values.dtype, scale=scale, double_scale=whole, block_sizes={-1: block})


def export(model: Any, recipe: str, cache: bool, folder: Path) -> Exported:
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint
    from modelopt.torch.export.unified_export_hf import requantize_resmooth_fused_llm_layers
    from modelopt.torch.quantization import tensor_quant

    config = copy.deepcopy(getattr(mtq, recipe))
    config["quant_cfg"] += mtq.FP8_KV_CFG["quant_cfg"] if cache else []
    config["quant_cfg"] += [{"quantizer_name": name, "enable": False} for name in VISION]
    model = model.eval()
    model.config.architectures = [type(model).__name__]
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(tensor_quant, "dynamic_block_quantize_op", quantize_nvfp4)
        plain = model(input_ids=IDS).logits
        model = mtq.quantize(model, config, lambda one: one(input_ids=IDS))
        requantize_resmooth_fused_llm_layers(
            model
        )  # the exporter's first step: q, k, v share their smoothing
        logits = model(input_ids=IDS).logits
        weights = {
            name: module.weight_quantizer(module.weight).detach().clone()
            for name, module in model.named_modules()
            if hasattr(module, "weight_quantizer") and module.weight_quantizer.is_enabled
        }
        export_hf_checkpoint(model, export_dir=folder)
    return Exported(folder, logits, weights, plain)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """A tiny Qwen2.5-VL in one of the formats; each is made once."""
    made: dict[str, Exported] = {}

    def make(name: str, build: Callable[[], Any] = tiny_qwen) -> Exported:
        key = f"{name} {build.__name__}"
        if key not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what ModelOpt misses on a CPU
                torch.manual_seed(0)
                folder = tmp_path_factory.mktemp("exported")
                made[key] = export(build(), FORMATS[name], "cache" in name, folder)
        return made[key]

    return make


def answer(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("name", FORMATS)
def test_weights_are_modelopts_but_for_ties(name: str, exported: Callable[[str], Exported]) -> None:
    """The exporter divides by a scale where the model in memory multiplies: a value between two codes may differ."""
    ours = dict(load_simulated(exported(name).folder).named_modules())
    theirs = exported(name).weights
    assert len(theirs) == 14
    for layer, weight in theirs.items():
        difference = (ours[layer].weight - weight).abs()
        assert (difference > 1e-4 * weight.abs().max()).float().mean() < 1e-3
        assert difference.max() < 0.15 * weight.abs().max()


@pytest.mark.parametrize("name", FORMATS)
def test_logits_are_those_of_modelopts_model(name: str, exported: Callable[[str], Exported]) -> None:
    """To 1e-5 for many tokens, once the ties of the weights fall the same way.

    For the others a value lay on the edge between two codes; that is little beside what quantizing itself changed.
    """
    reference = exported(name)
    model = load_simulated(reference.folder)
    assert not model.training
    modules = dict(model.named_modules())
    with torch.no_grad():
        for layer, weight in reference.weights.items():
            modules[layer].weight.copy_(weight)
    error = (answer(model) - reference.logits).abs()
    assert (error.amax(-1) < 1e-5).float().mean() > 0.3
    assert error.pow(2).mean() < 0.01 * (reference.plain - reference.logits).pow(2).mean()


def test_a_cache_in_fp8_is_rounded_as_it_grows(exported: Callable[[str], Exported]) -> None:
    """The last token's logits agree whether its predecessors come from a cache or not, and saturation shows."""
    model = load_simulated(exported("int8, cache fp8").folder)
    whole = answer(model)
    rounding = (answer(load_simulated(exported("int8").folder)) - whole).abs().mean()
    assert rounding > 1e-4
    with torch.no_grad():
        first = model(input_ids=IDS[:, :-1], use_cache=True)
        place = torch.tensor([IDS.shape[1] - 1])
        last = model(
            input_ids=IDS[:, -1:], past_key_values=first.past_key_values, cache_position=place
        ).logits
    assert (last[:, -1] - whole[:, -1]).abs().mean() < rounding / 10
    for module in model.modules():
        if hasattr(module, "cache_scales"):
            module.cache_scales = tuple(scale / 100 for scale in module.cache_scales)
    assert (answer(model) - whole).abs().mean() > 3 * rounding


@pytest.mark.parametrize("kind", ["weight_scale", "input_scale", "pre_quant_scale"])
def test_a_scale_a_hundred_times_too_great_is_seen(
    kind: str, exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    reference = exported("int8-sq")
    folder = changed(reference.folder, tmp_path, f"layers.1.mlp.down_proj.{kind}", lambda scale: scale * 100)
    error = (reference.plain - reference.logits).abs().mean()
    assert (answer(load_simulated(folder)) - reference.plain).abs().mean() > 3 * error


def test_every_scale_of_the_file_counts(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    """The second scales of weights too: none is read and then left aside."""
    for name in ("w4a8-awq", "nvfp4", "fp8, cache fp8"):
        folder = exported(name).folder
        whole = answer(load_simulated(folder))
        scales = [
            key for key in load_file(folder / "model.safetensors") if "layers.1" in key and "scale" in key
        ]
        for kind in {key.rpartition(".")[2] for key in scales}:
            key = next(key for key in scales if key.endswith(f".{kind}"))
            damaged = changed(
                folder, tmp_path / f"{name} {kind}", key, lambda scale: (scale.float() * 3).to(scale)
            )
            assert not torch.equal(answer(load_simulated(damaged)), whole), key


def test_a_missing_weight_is_refused(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    folder = changed(exported("fp8").folder, tmp_path, "layers.0.input_layernorm.weight", lambda _: None)
    with pytest.raises(
        CheckpointError, match=r"1 missing keys, such as .*layers\.0\.input_layernorm\.weight"
    ):
        load_simulated(folder)


def test_what_the_model_has_no_layer_for_is_refused(
    exported: Callable[[str], Exported], tmp_path: Path
) -> None:
    shutil.copytree(exported("fp8").folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 1
    config["text_config"]["layer_types"] = ["full_attention"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="unexpected keys"):
        load_simulated(tmp_path)


def test_fused_projections_share_the_largest_scale_and_nothing_else_changes(
    exported: Callable[[str], Exported],
) -> None:
    """As TensorRT-LLM loads them: codes of q, k and v are whole multiples of one step of e4m3."""
    folder = exported("fp8").folder
    stored = load_file(folder / "model.safetensors")
    plain, fused = (dict(load_simulated(folder, fused=way).named_modules()) for way in (False, True))
    prefix = "layers.0.self_attn."
    scales = {key: value for key, value in stored.items() if prefix in key and key.endswith("weight_scale")}
    largest = max(value for key, value in scales.items() if "o_proj" not in key)
    for key, scale in scales.items():
        name = key.removesuffix(".weight_scale").replace("model.", "model.language_model.", 1)
        one = largest if "o_proj" not in key else scale
        codes = fused[name].weight / one
        assert torch.allclose(codes, codes.to(torch.float8_e4m3fn).float(), rtol=1e-5)
        assert torch.equal(fused[name].weight, plain[name].weight) == (one == scale)


def test_another_family_and_bf16(exported: Callable[..., Exported]) -> None:
    reference = exported("fp8", tiny_llava)
    assert (answer(load_simulated(reference.folder)) - reference.logits).abs().max() < 1e-5
    half = load_simulated(reference.folder, torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert (answer(half).float() - reference.logits).abs().max() < 0.05


def changed(
    source: Path, folder: Path, ending: str, change: Callable[[torch.Tensor], torch.Tensor | None]
) -> Path:
    """A copy in which the one tensor of that ending is another."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    tensors = load_file(folder / "model.safetensors")
    (key,) = [key for key in tensors if key.endswith(ending)]
    made = change(tensors.pop(key))
    if made is not None:
        tensors[key] = made.contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder

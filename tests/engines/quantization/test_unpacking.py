"""A quantized checkpoint read back: what ModelOpt packed is what comes out, and nothing doubtful passes."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from radserve_engines.errors import CheckpointError
from radserve_engines.quantization.number_formats import (
    round_e2m1,
    round_fp8,
    round_int8,
    round_int8_by_token,
    round_nvfp4,
    unpack_e2m1,
    unpack_int4,
)
from radserve_engines.quantization.unpacking import unpack_checkpoint

OUT, IN, GROUP = 48, 256, 128
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
Tensors = dict[str, torch.Tensor]


def random_weight() -> torch.Tensor:
    return torch.randn(OUT, IN, generator=torch.Generator().manual_seed(0)) * 0.05


def pack(algorithm: str) -> Tensors:
    """One layer `a` as ModelOpt's exporter packs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what ModelOpt misses on a CPU
        from modelopt.torch.export.quant_utils import to_quantized_weight
        from modelopt.torch.quantization.qtensor import NVFP4QTensor
    weight, one = random_weight(), torch.tensor(0.02)
    if algorithm == "FP8":
        scale = weight.abs().max() / 448
        packed = to_quantized_weight(weight, scale, "fp8")
        return {"a.weight": packed, "a.weight_scale": scale, "a.input_scale": one}
    if algorithm == "NVFP4":
        whole = NVFP4QTensor.get_weights_scaling_factor_2(weight)
        scale = NVFP4QTensor.get_weights_scaling_factor(weight, 16, whole)[0]
        packed = to_quantized_weight(weight, scale, "nvfp4", whole, 16)
        names = ("weight", "weight_scale", "weight_scale_2", "input_scale")
        return dict(zip([f"a.{name}" for name in names], (packed, scale, whole, one), strict=True))
    if algorithm in ("W8A16", "W8A8_SQ_PER_CHANNEL"):
        scale = weight.abs().amax(1) / 127
        tensors = {"a.weight": to_quantized_weight(weight, scale, "int8_wo"), "a.weight_scale": scale}
        return tensors if algorithm == "W8A16" else tensors | smoothed(one)
    scale = weight.unflatten(1, (-1, GROUP)).abs().amax(2) / 7
    tensors = {
        "a.weight": to_quantized_weight(weight, scale, "int4_awq", block_size=GROUP),
        "a.weight_scale": scale,
    }
    if algorithm == "W4A16_AWQ":
        return tensors | {"a.pre_quant_scale": torch.full((IN,), 0.5)}
    return tensors | smoothed(one) | {"a.weight_scale_2": weight.abs().max() / 448}


def smoothed(scale: torch.Tensor) -> Tensors:
    return {"a.input_scale": scale, "a.pre_quant_scale": torch.full((IN,), 0.5)}


# Half a step of the format, relative to the scale of the value's group; e4m3 and e2m1 have steps that grow.
HALF_STEP = {"W8A16": 1 / 254, "W8A8_SQ_PER_CHANNEL": 1 / 254, "W4A16_AWQ": 1 / 14}
RELATIVE = {"FP8": 1 / 16, "NVFP4": 1 / 3, "W4A8_AWQ": 1 / 13}
GROUPS = {"W4A16_AWQ": GROUP, "W4A8_AWQ": GROUP, "NVFP4": 16}
ALGORITHMS = (*HALF_STEP, *RELATIVE)
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_checkpoint(algorithm: str, tensors: Tensors, **more: object) -> Path:
        stated = {
            "quant_algo": algorithm,
            "kv_cache_quant_algo": None,
            "group_size": GROUPS.get(algorithm, 0),
        }
        (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": stated | more}))
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(contiguous | {"norm.weight": torch.ones(IN)}, tmp_path / "model.safetensors")
        return tmp_path

    return write_checkpoint


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_was_packed_comes_out_within_half_a_step(algorithm: str, write: Write) -> None:
    """Which a wrong nibble, group, sign or scale cannot do."""
    unpacked = unpack_checkpoint(write(algorithm, pack(algorithm)))
    weight = random_weight()
    error = (unpacked.tensors["a.weight"] - weight).abs()
    assert error.max() > 0
    largest = weight.unflatten(1, (-1, GROUPS.get(algorithm, IN))).abs().amax(2, keepdim=True)
    if algorithm in HALF_STEP:
        allowed = HALF_STEP[algorithm] * largest.expand(-1, -1, GROUPS.get(algorithm, IN)).flatten(1)
    else:
        floor = {"FP8": weight.abs().max() / 448 / 512}.get(algorithm, largest.max() / 12)
        allowed = RELATIVE[algorithm] * weight.abs() + floor
    assert (error <= allowed * 1.001).all()
    assert torch.equal(unpacked.tensors["norm.weight"], torch.ones(IN))


def test_every_code_of_four_bits_in_either_half_of_a_byte() -> None:
    low, high = torch.arange(16), torch.arange(16).flip(0)
    packed = (low | high << 4).to(torch.uint8)
    signed = torch.tensor([*range(8), *range(-8, 0)])
    assert torch.equal(unpack_int4(packed[None]), torch.stack([signed[low], signed[high]]).to(torch.int8))
    values = torch.cat([E2M1, -E2M1])
    assert torch.equal(unpack_e2m1(packed[:, None]), torch.stack([values[low], values[high]], dim=1))


def test_by_token_needs_no_scale_of_the_input(write: Write) -> None:
    """The algorithm that `convert_checkpoint --smoothquant --per_token --per_channel` names."""
    tensors = {key: value for key, value in pack("W8A8_SQ_PER_CHANNEL").items() if "input_scale" not in key}
    made = unpack_checkpoint(write("W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN", tensors)).inputs["a"]
    assert made.rounding is round_int8_by_token and made.smoothing is not None


def test_nvfp4_equals_modelopts_own_dequantization(write: Write) -> None:
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    packed = pack("NVFP4")
    there = NVFP4QTensor(torch.Size((OUT, IN)), torch.float32, packed["a.weight"])
    scales = {"scale": packed["a.weight_scale"], "double_scale": packed["a.weight_scale_2"]}
    wanted = there.dequantize(torch.float32, block_sizes={-1: 16}, **scales)
    assert torch.equal(unpack_checkpoint(write("NVFP4", packed)).tensors["a.weight"], wanted)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_inputs_are_smoothed_and_rounded_as_the_algorithm_says(algorithm: str, write: Write) -> None:
    made = unpack_checkpoint(write(algorithm, pack(algorithm))).inputs["a"]
    assert (made.smoothing is not None) == ("AWQ" in algorithm or "SQ" in algorithm)
    assert (made.rounding is None) == ("A16" in algorithm)
    if made.rounding is not None:
        values = torch.tensor([[0.0205] + [0.0] * 15])
        rounded = made.rounding(values)
        assert not torch.equal(rounded, values)
        assert torch.allclose(rounded, values, rtol=0.2)


def test_rounding_to_e2m1_takes_the_nearest_and_the_even_at_a_tie() -> None:
    values = torch.linspace(-7, 7, 2801)
    nearest = (values.abs()[:, None].clamp(max=6) - E2M1).abs().min(1).values
    rounded = round_e2m1(values)
    assert torch.isin(rounded.abs(), E2M1).all()
    assert torch.allclose((rounded.abs() - values.abs().clamp(max=6)).abs(), nearest, atol=1e-6)
    ties = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -5.0])
    assert round_e2m1(ties).tolist() == [0, 1, 1, 2, 2, 4, 4, -4]


def test_static_roundings_saturate() -> None:
    scale = torch.tensor(0.01)
    assert round_fp8(torch.tensor([1e6, -1e6]), scale).tolist() == pytest.approx([4.48, -4.48])
    assert round_int8(torch.tensor([1e6, -1e6]), scale).tolist() == pytest.approx([1.27, -1.28])
    assert round_fp8(torch.tensor([torch.nan]), scale).isnan().all()


def test_rounding_by_token_gives_every_token_its_own_scale() -> None:
    tokens = torch.tensor([[1.0, 0.1], [100.0, 10.0], [0.0, 0.0]])
    error = (round_int8_by_token(tokens) - tokens).abs().amax(1) / tokens.abs().amax(1).clamp_min(1)
    assert error.max() <= 1 / 254


def test_rounding_to_nvfp4_equals_modelopts_packing() -> None:
    """Blocks of zeros and of outliers among them."""
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    values = torch.randn(7, 64, generator=torch.Generator().manual_seed(1))
    values[0] = 0
    values[1, :16] *= 1000
    scale = values.abs().max() / (6 * 448) * 0.9
    packed, small, _ = NVFP4QTensor.quantize(values.clone(), 16, None, scale)
    wanted = packed.dequantize(torch.float32, scale=small, double_scale=scale, block_sizes={-1: 16})
    assert torch.allclose(round_nvfp4(values, scale), wanted, rtol=1e-6)


def damage(tensors: Tensors, name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> Tensors:
    changed = {key: change(value) if key == name else value for key, value in tensors.items()}
    return {key: value for key, value in changed.items() if value is not None}


@pytest.mark.parametrize(
    ("algorithm", "name", "change", "says"),
    [
        ("FP8", "a.weight_scale", lambda _: None, "a.weight_scale is missing"),
        ("FP8", "a.input_scale", lambda _: None, "a.input_scale is missing"),
        ("FP8", "a.weight_scale", lambda scale: scale * torch.nan, "a.weight_scale must be finite"),
        ("FP8", "a.input_scale", lambda scale: -scale, "a.input_scale must be finite and positive"),
        ("FP8", "a.weight_scale", lambda scale: scale.repeat(2), "a.weight_scale has shape (2,)"),
        ("FP8", "a.weight", lambda weight: weight.to(torch.float16), "a.weight is torch.float16"),
        ("W8A16", "a.weight_scale", lambda scale: scale[1:], "a.weight_scale has shape (47,)"),
        ("W8A16", "a.weight_scale", lambda scale: scale * 0, "a.weight_scale must be finite and positive"),
        ("W4A16_AWQ", "a.weight_scale", lambda scale: scale.repeat(1, 2), "another group size"),
        ("W4A16_AWQ", "a.pre_quant_scale", lambda scale: scale[:9], "a.pre_quant_scale has shape (9,)"),
        ("W4A8_AWQ", "a.weight_scale_2", lambda _: None, "a.weight_scale_2 is missing"),
        ("NVFP4", "a.weight_scale_2", lambda scale: scale * torch.inf, "a.weight_scale_2 must be finite"),
    ],
)
def test_a_doubtful_tensor_is_refused_by_name_and_file(
    algorithm: str, name: str, change: Callable[..., torch.Tensor | None], says: str, write: Write
) -> None:
    folder = write(algorithm, damage(pack(algorithm), name, change))
    with pytest.raises(CheckpointError) as refused:
        unpack_checkpoint(folder)
    assert says in str(refused.value)
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"quant_algo": "W4A16_GPTQ"}, "W4A16_GPTQ"),
        ({"quant_algo": None}, "None"),
        ({"group_size": 96}, "96"),
        ({"group_size": 0}, "group_size"),
        ({"kv_cache_quant_algo": "NVFP4"}, "kv_cache_quant_algo"),
    ],
)
def test_what_the_configuration_says_must_be_known_and_fit(
    stated: dict[str, object], says: str, write: Write
) -> None:
    folder = write("W4A16_AWQ", pack("W4A16_AWQ"), **stated)
    with pytest.raises(CheckpointError, match=says):
        unpack_checkpoint(folder)


def test_files_that_are_damaged_doubled_or_promised_in_vain_are_refused(write: Write) -> None:
    folder = write("FP8", pack("FP8"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"b.weight": "model-2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"model-2\.safetensors: tensor b\.weight"):
        unpack_checkpoint(folder)
    index.unlink()
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "more.safetensors").write_bytes(whole)
    with pytest.raises(CheckpointError, match="both in"):
        unpack_checkpoint(folder)
    (folder / "more.safetensors").write_bytes(whole[:-9])
    with pytest.raises(CheckpointError, match=r"more\.safetensors is damaged"):
        unpack_checkpoint(folder)


def test_a_cache_without_scales_counts_as_one_and_half_a_pair_is_refused(write: Write) -> None:
    layer = {f"x.self_attn.k_proj.{name[2:]}": tensor for name, tensor in pack("FP8").items()}
    folder = write("FP8", layer, kv_cache_quant_algo="FP8")
    assert unpack_checkpoint(folder).kv == {"x.self_attn": (1, 1)}
    write("FP8", layer | {"x.self_attn.k_proj.k_scale": torch.tensor(0.5)}, kv_cache_quant_algo="FP8")
    with pytest.raises(CheckpointError, match=r"v_proj\.v_scale is missing"):
        unpack_checkpoint(folder)

"""llm_args.yaml: safe by default, and nothing in it that TensorRT-LLM 1.2.1 would refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.checkpoints.miniatures import make_miniature
from radserve_engines.errors import BuildRefused, ManifestError
from radserve_engines.families import family_named
from radserve_engines.trtllm import (
    LlmSettings,
    build_llm_args,
    check_llm_args,
    prepare_llm_api,
    read_llm_args,
    write_llm_args,
)
from radserve_engines.trtllm.model_config import complete_config
from radserve_engines.trtllm.signatures import read_tables

FACTS = Path(__file__).parents[4] / "shared" / "facts" / "trtllm_llmargs.json"


def test_the_defaults_keep_patients_apart_and_finish_what_has_begun() -> None:
    arguments = build_llm_args(LlmSettings())
    cache = arguments["kv_cache_config"]
    assert not cache["enable_block_reuse"] and not cache["enable_partial_reuse"]
    assert cache["dtype"] == "auto"
    assert arguments["scheduler_config"] == {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"}
    assert arguments["enable_chunked_prefill"] and arguments["cuda_graph_config"]["enable_padding"]
    assert not arguments["trust_remote_code"]


def test_the_settings_decide() -> None:
    arguments = build_llm_args(LlmSettings(2, 8, 1024, 2048, "fp8", 0.5))
    assert arguments["tensor_parallel_size"] == 2
    assert arguments["max_batch_size"] == arguments["cuda_graph_config"]["max_batch_size"] == 8
    assert arguments["max_seq_len"] == arguments["max_input_len"] == 1024
    cache = arguments["kv_cache_config"]
    assert (cache["dtype"], cache["free_gpu_memory_fraction"]) == ("fp8", 0.5)


def test_a_family_whose_images_cannot_be_cut_takes_its_prompts_whole() -> None:
    arguments = build_llm_args(LlmSettings(max_seq_len=4096, max_num_tokens=1024), family_named("gemma3"))
    assert not arguments["enable_chunked_prefill"]
    assert arguments["max_num_tokens"] == 4096
    assert arguments["attn_backend"] == "FLASHINFER"
    assert "attn_backend" not in build_llm_args(LlmSettings(), family_named("qwen2_5_vl"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_batchsize": 4}, "max_batchsize.*did you mean max_batch_size"),
        (
            {"kv_cache_config": {"enable_blocks_reuse": False}},
            "kv_cache_config.enable_blocks_reuse.*enable_block_reuse",
        ),
        ({"max_batch_size": "4"}, "max_batch_size must be an integer, not '4'"),
        ({"max_batch_size": True}, "max_batch_size must be an integer"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size must be at least 1"),
        ({"tensor_parallel_size": None}, "tensor_parallel_size must not be null"),
        (
            {"kv_cache_config": {"free_gpu_memory_fraction": 1.5}},
            "free_gpu_memory_fraction must be at most 1",
        ),
        ({"kv_cache_config": 3}, "kv_cache_config must hold KvCacheConfig's arguments"),
        ({"cuda_graph_config": {"batch_sizes": [1, 0]}}, r"batch_sizes\[1\] must be at least 1"),
        ({"scheduler_config": {"capacity_scheduler_policy": "EVICT"}}, "must be one of MAX_UTILIZATION"),
        ({"multimodal_config": {}}, "multimodal_config is newer than TensorRT-LLM 1.2.1"),
        ({"quant_config": {}}, "quant_config: the quantization comes from the checkpoint"),
    ],
)
def test_what_tensorrt_llm_would_not_take_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(BuildRefused, match=said):
        check_llm_args(wrong)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(BuildRefused, match=r"modell.*dtyp"):
        check_llm_args({"modell": "x", "dtyp": "auto"})


def test_what_is_refused_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(BuildRefused):
        write_llm_args(tmp_path, {"max_batchsize": 4})
    assert not list(tmp_path.iterdir())


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    arguments = build_llm_args(LlmSettings())
    write_llm_args(tmp_path, arguments)
    assert read_llm_args(tmp_path) == arguments


def test_a_file_that_was_edited_into_nonsense_is_refused_by_name(tmp_path: Path) -> None:
    path = write_llm_args(tmp_path, build_llm_args(LlmSettings()))
    path.write_text(path.read_text().replace("stream_interval", "streaming_interval"))
    with pytest.raises(ManifestError, match=r"llm_args\.yaml.*did you mean stream_interval"):
        read_llm_args(tmp_path)
    path.unlink()
    with pytest.raises(ManifestError, match=r"llm_args\.yaml"):
        read_llm_args(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"tensor_parallel": 0},
        {"max_batch_size": 1.5},
        {"gpu_memory_fraction": 0.0},
        {"kv": "int8"},
        {"kv": "int4"},
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(BuildRefused) as caught:
        LlmSettings(**settings)
    assert caught.value.param == next(iter(settings))


def test_the_engine_is_the_checkpoint_and_its_arguments(tmp_path: Path) -> None:
    checkpoint = make_miniature("qwen2_5_vl", tmp_path / "quantized")
    options = prepare_llm_api(checkpoint, tmp_path / "engine", LlmSettings(max_batch_size=8))
    assert options["path"] == "llm-api" and options["max_batch_size"] == 8
    json.dumps(options)
    made = {path.name: path.read_bytes() for path in (tmp_path / "engine").iterdir()}
    assert read_llm_args(tmp_path / "engine")["max_batch_size"] == 8
    assert made.pop("llm_args.yaml")
    given = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    ours, theirs = json.loads(made.pop("config.json")), json.loads(given.pop("config.json"))
    assert made == given
    assert ours["vision_token_id"] == ours["image_token_id"]
    assert ours["torch_dtype"] == "bfloat16" and "vision_token_id" not in theirs
    assert (
        theirs.items()
        <= {**ours, "text_config": theirs["text_config"], "vision_config": theirs["vision_config"]}.items()
    )


def test_a_config_that_lacks_nothing_stays_byte_for_byte(tmp_path: Path) -> None:
    text = '{"model_type": "qwen2_vl", "image_token_id": 5, "vision_token_id": 7, "torch_dtype": "bfloat16"}'
    (tmp_path / "config.json").write_text(text)
    complete_config(tmp_path)
    assert (tmp_path / "config.json").read_text() == text


@pytest.mark.parametrize("stored", ["float32", "float64"])
@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_a_checkpoint_in_float32_is_served_in_bfloat16(tmp_path: Path, stored: str, name: str) -> None:
    """As ZeRO exports it; TensorRT-LLM's kernels have no float32."""
    parts = {name: stored, "text_config": {name: stored}, "vision_config": {name: "float16"}}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llava_next", **parts}))
    complete_config(tmp_path)
    made = json.loads((tmp_path / "config.json").read_text())
    assert made["torch_dtype"] == made[name] == made["text_config"]["torch_dtype"] == "bfloat16"
    assert made["vision_config"][name] == "float16"


def test_a_family_that_the_llm_api_does_not_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "blip-2"}))
    with pytest.raises(BuildRefused, match="BLIP-2: its compiled path does"):
        prepare_llm_api(tmp_path, tmp_path / "engine", LlmSettings())


@pytest.mark.parametrize(
    "algorithm", ["FP8", "W8A16", "W4A16_AWQ", "W8A8_SQ_PER_CHANNEL", "W4A16_GPTQ", None]
)
def test_a_quantization_that_the_llm_api_has_no_kernels_for_is_refused(
    tmp_path: Path, algorithm: str | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": algorithm}}))
    if algorithm in ("FP8", "W8A16", "W4A16_AWQ"):
        assert prepare_llm_api(tmp_path, tmp_path / "engine", LlmSettings())["path"] == "llm-api"
        return
    with pytest.raises(BuildRefused, match=rf"hf_quant_config\.json.*{algorithm}.*serves FP8"):
        prepare_llm_api(tmp_path, tmp_path / "engine", LlmSettings())


@pytest.mark.skipif(not FACTS.is_file(), reason="the facts that the table was checked against are not here")
def test_the_shipped_table_agrees_with_the_facts() -> None:
    """Names, which of them are newer than 1.2, and each default that the facts give as a value."""
    facts = json.loads(FACTS.read_text())["fields"]
    tables = read_tables("llm_args")
    assert {"quant_config", "build_config"} <= set(tables["refused"])
    assert tables["LLM"]["sampler_type"]["default"] == "auto"
    for name in facts.keys() - {"quant_config", "build_config", "sampler_type"}:
        kind, default, *more = facts[name]
        if more == ["NEW>1.2"]:
            assert name in tables["newer"], name
        else:
            ours = tables["LLM"][name]
            assert ours.get("required", False) == (default == "required"), name
            if default not in ("required", "factory", "torch.cuda.device_count()"):
                assert ours["default"] == default, name
            word = re.search(r"bool|int|float|str", kind.lower())
            if word and kind.startswith(("bool", "int", "float", "str", "Optional[int]", "Optional[str]")):
                assert ours["type"].startswith(word[0]), name
                assert ours["type"].endswith("?") == kind.startswith("Optional"), name

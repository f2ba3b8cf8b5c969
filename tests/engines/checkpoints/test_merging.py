"""LoRA: the merged checkpoint answers as the adapter does, and an adapter of another base is refused."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from radserve_engines.checkpoints import merge_adapters, read_checkpoint
from radserve_engines.checkpoints.loading import load_model
from radserve_engines.checkpoints.probe import Probe
from radserve_engines.errors import CheckpointError


def adapted_logits(base, adapters, probe):
    """PEFT's own, each adapter live on top of the ones before; nothing of ours but the loading."""
    import peft

    model = load_model(read_checkpoint(base), torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tied embeddings, and of adapters on what was one
        for number, folder in enumerate(adapters):
            model = peft.PeftModel.from_pretrained(model, folder).eval()
            if number + 1 < len(adapters):
                model = model.merge_and_unload()
    return probe.logits(model.get_base_model())


def to_float32(folder):
    """As a checkpoint that was trained in float32: nothing is rounded then."""
    for path in folder.glob("*.safetensors"):
        save_file({name: value.float() for name, value in load_file(path).items()}, path, {"format": "pt"})
    return folder


KINDS = {"LoRA": {}, "rsLoRA": {"use_rslora": True}, "DoRA": {"use_dora": True}}


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_merged_logits_are_the_adapters_to_a_thousandth(copied, make_adapter, targets, tmp_path, more):
    """Not by luck: the adapter moves the logits by a hundred times that."""
    base = to_float32(copied("qwen2_5_vl"))
    adapter = make_adapter(base, targets("qwen2_5_vl"), **more)
    record = merge_adapters(read_checkpoint(base), [adapter], tmp_path / "out")
    probe = Probe(base)
    wanted = adapted_logits(base, [adapter], probe)
    merged = probe.logits(load_model(read_checkpoint(tmp_path / "out"), torch.float32))
    assert (merged - wanted).abs().max() < 1e-3
    assert (wanted - probe.logits(load_model(read_checkpoint(base), torch.float32))).abs().max() > 0.1
    assert record["adapters"][0]["kind"].startswith("LoRA r=4 α=8") and record["dtype"] == "float32"


@pytest.mark.parametrize("name", ["gemma3", "blip-2/bloom"])
def test_a_bfloat16_checkpoint_stays_one_and_its_rounding_is_recorded(
    miniature, make_adapter, targets, tmp_path, name
):
    base, out = miniature(name), tmp_path / "out"
    adapter = make_adapter(base, targets(name))
    record = merge_adapters(read_checkpoint(base), [adapter], out)
    moved = record["largest_logit_difference"]
    assert moved["merged_against_adapter"] < 1e-4 and moved["read_back"] < 1e-4 < moved["rounding"] < 0.05
    merged = read_checkpoint(out)
    assert merged.dtype == "bfloat16" and merged.config["dtype"] == "bfloat16"
    assert merged.parameters == read_checkpoint(base).parameters
    assert {"tokenizer.json", "preprocessor_config.json", "chat_template.jinja"} <= {
        p.name for p in out.iterdir()
    }


def test_adapters_are_merged_one_after_another_and_no_manifest_comes_along(copied, make_adapter, tmp_path):
    base = to_float32(copied("qwen2_5_vl"))
    (base / "engine.json").write_text("{}")
    adapters = [make_adapter(base, ["q_proj"], 1), make_adapter(base, ["q_proj", "up_proj"], 2)]
    record = merge_adapters(read_checkpoint(base), adapters, tmp_path / "out")
    probe = Probe(base)
    merged = probe.logits(load_model(read_checkpoint(tmp_path / "out"), torch.float32))
    assert (merged - adapted_logits(base, adapters, probe)).abs().max() < 1e-3
    assert [one["name"] for one in record["adapters"]] == ["adapter-1", "adapter-2"]
    assert not (tmp_path / "out" / "engine.json").exists()


def test_embeddings_that_an_adapter_set_apart_from_the_head_stay_apart(copied, make_adapter, tmp_path):
    """Gemma 3 ties them; an adapter that saves the whole lm_head unties them, and a reader must not tie them again."""
    base = to_float32(copied("gemma3"))
    adapter = make_adapter(base, ["q_proj"], modules_to_save=["lm_head"])
    merge_adapters(read_checkpoint(base), [adapter], tmp_path / "out")
    probe = Probe(base)
    merged = probe.logits(load_model(read_checkpoint(tmp_path / "out"), torch.float32))
    assert (merged - adapted_logits(base, [adapter], probe)).abs().max() < 1e-3


def test_an_adapter_of_another_base_is_refused_with_its_key(miniature, make_adapter, tmp_path):
    adapter = make_adapter(miniature("qwen2_5_vl"), ["q_proj"])
    weights = adapter / "adapter_model.safetensors"
    with pytest.raises(
        CheckpointError, match=r"adapter_model\.safetensors: \S+lora_A\.weight is for a module"
    ):
        merge_adapters(read_checkpoint(miniature("blip-2/bloom")), [adapter], tmp_path / "out")
    tensors = load_file(weights)
    key = next(name for name in tensors if "lora_A" in name)
    tensors[key] = torch.zeros(4, 96)
    save_file(tensors, weights)
    with pytest.raises(
        CheckpointError, match=rf"{key} has shape \[4, 96\], which does not fit \S+ of \[128, 128\]"
    ):
        merge_adapters(read_checkpoint(miniature("qwen2_5_vl")), [adapter], tmp_path / "out")


def test_an_adapter_that_was_never_trained_is_refused(miniature, make_adapter, tmp_path):
    adapter = make_adapter(miniature("qwen2_5_vl"), ["q_proj"])
    weights = adapter / "adapter_model.safetensors"
    save_file({k: v * ("lora_A" in k) for k, v in load_file(weights).items()}, weights)
    with pytest.raises(CheckpointError, match="every lora_B is zero"):
        merge_adapters(read_checkpoint(miniature("qwen2_5_vl")), [adapter], tmp_path / "out")


@pytest.mark.parametrize(
    "more", [{"modules_to_save": ["lm_head"]}, {"trainable_token_indices": [5, 6]}], ids=["head", "tokens"]
)
def test_what_is_trained_beside_the_lora_is_merged_though_every_lora_b_is_zero(
    copied, make_adapter, tmp_path, more
):
    base = to_float32(copied("qwen2_5_vl"))
    adapter = make_adapter(base, ["q_proj"], **more)
    weights = adapter / "adapter_model.safetensors"
    changed = {
        k: v + 0.1 if "trainable" in k else v * ("lora_B" not in k) for k, v in load_file(weights).items()
    }
    save_file(changed, weights, metadata={"format": "pt"})
    merge_adapters(read_checkpoint(base), [adapter], tmp_path / "out")
    before, after = (
        load_model(read_checkpoint(f), torch.float32).state_dict() for f in (base, tmp_path / "out")
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {
        "lm_head.weight" if "modules_to_save" in more else "model.language_model.embed_tokens.weight"
    }


def test_an_adapter_with_a_resized_vocabulary_is_told_what_to_do(miniature, make_adapter, tmp_path):
    adapter = make_adapter(miniature("qwen2_5_vl"), ["q_proj"])
    weights = adapter / "adapter_model.safetensors"
    more = {"base_model.model.model.language_model.embed_tokens.weight": torch.ones(400, 128)}
    save_file({**load_file(weights), **more}, weights)
    with pytest.raises(CheckpointError, match=r"resize_token_embeddings\(400\)"):
        merge_adapters(read_checkpoint(miniature("qwen2_5_vl")), [adapter], tmp_path / "out")


def test_an_adapter_that_brings_another_chat_template_is_refused(copied, make_adapter, tmp_path):
    """It was trained on other prompts than the engine would write."""
    base = copied("qwen2_5_vl")
    adapter = make_adapter(base, ["q_proj"])
    template = (base / "chat_template.jinja").read_text()
    (adapter / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    merge_adapters(read_checkpoint(base), [adapter], tmp_path / "out")
    (adapter / "chat_template.jinja").write_text(f"Be brief. {template}")
    with pytest.raises(CheckpointError, match=r"another chat template .* put the one of the training"):
        merge_adapters(read_checkpoint(base), [adapter], tmp_path / "out")


def test_what_is_no_lora_in_safetensors_is_refused_with_the_way_out(miniature, make_adapter, tmp_path):
    checkpoint = read_checkpoint(miniature("qwen2_5_vl"))
    adapter = make_adapter(checkpoint.folder, ["q_proj"])
    config = adapter / "adapter_config.json"
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"has no adapter_model\.safetensors; write it with: python -c"):
        merge_adapters(checkpoint, [adapter], tmp_path / "out")
    config.write_text(json.dumps({**json.loads(config.read_text()), "peft_type": "IA3"}))
    with pytest.raises(CheckpointError, match=r"peft_type 'IA3' cannot be merged here"):
        merge_adapters(checkpoint, [adapter], tmp_path / "out")
    config.unlink()
    with pytest.raises(CheckpointError, match="is no adapter"):
        merge_adapters(checkpoint, [adapter], tmp_path / "out")

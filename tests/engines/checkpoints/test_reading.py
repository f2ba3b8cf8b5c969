"""Checkpoints as people bring them: sharded, out of FSDP and ZeRO, damaged, or in formats that are refused."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from radserve_engines.checkpoints import read_checkpoint, write_plain
from radserve_engines.checkpoints.loading import load_model
from radserve_engines.checkpoints.miniatures import list_miniatures
from radserve_engines.checkpoints.probe import Probe
from radserve_engines.checkpoints.tensor_names import plain_names
from radserve_engines.errors import CheckpointError

INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize("name", list_miniatures())
def test_headers_count_what_the_class_has(miniature, name):
    """All parameters, tied ones once, without any weight read."""
    checkpoint = read_checkpoint(miniature(name))
    model = load_model(checkpoint)
    assert len(checkpoint.shards) > 2
    counted = dict.fromkeys(checkpoint.parameters, 0)
    for key, value in model.named_parameters():
        counted[checkpoint.family.part_of(key)] += value.numel()
    counted["other"] += sum(v.numel() for k, v in model.named_buffers() if "encoder_embedding.global_" in k)
    assert checkpoint.parameters == counted and counted["vision"] > 0 < counted["projector"]
    assert checkpoint.dtype == "bfloat16" and checkpoint.quantized is None and checkpoint.plain


WRAPPINGS = {
    "FSDP": lambda name: re.sub(
        r"(layers\.\d+|blocks\.\d+)", r"\1._fsdp_wrapped_module", f"_fsdp_wrapped_module.{name}"
    ),
    "DDP": lambda name: f"module.{name}",
    "a class of one's own": lambda name: f"module.model.{name}",
    "torch.compile and activation checkpointing": lambda name: f"_orig_mod.{name}".replace(
        ".self_attn.", "._checkpoint_wrapped_module.self_attn."
    ),
}


@pytest.mark.parametrize(
    ("kind", "name"), [*((kind, "qwen2_5_vl") for kind in WRAPPINGS), ("a class of one's own", "blip-2/opt")]
)
def test_wrappers_of_training_go_from_the_names_and_nothing_else_changes(copied, tmp_path, kind, name):
    """As FSDP and ZeRO export: shards without an index, names with the wrapper's own part, no architectures."""
    folder, wrapper = copied(name), WRAPPINGS[kind]
    original = read_checkpoint(folder)
    expected = Probe(folder).logits(load_model(original, torch.float32))
    for path in folder.glob("*.safetensors"):
        save_file({wrapper(key): value for key, value in load_file(path).items()}, path)
    (folder / INDEX).unlink()
    config = json.loads((folder / "config.json").read_text())
    config.pop("architectures", None)
    (folder / "config.json").write_text(json.dumps(config))
    checkpoint = read_checkpoint(folder)
    assert not checkpoint.plain
    assert (checkpoint.parameters, set(checkpoint.tensors)) == (original.parameters, set(original.tensors))
    plain = write_plain(checkpoint, tmp_path / "plain")
    assert plain.plain and plain.config["architectures"] == [original.family.architecture]
    assert torch.equal(Probe(plain.folder).logits(load_model(plain, torch.float32)), expected)


@pytest.mark.parametrize("name", list_miniatures())
def test_names_as_transformers_saves_or_holds_them_stay(miniature, name):
    checkpoint = read_checkpoint(miniature(name))
    for names in (checkpoint.renames, load_model(checkpoint).state_dict()):
        plain = plain_names(names)
        assert all(stored == short for stored, short in plain.items())


def test_a_shard_that_is_cut_off_is_named_with_its_tensor(copied):
    folder = copied("qwen2_5_vl")
    path = sorted(folder.glob("*.safetensors"))[2]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{path.name} is cut off: \S+\.weight ends at byte"):
        read_checkpoint(folder)


@pytest.mark.parametrize("damage", [b"", b"\xff" * 64, b"\x10\0\0\0\0\0\0\0not json at all!"])
def test_a_file_that_is_no_safetensors_is_named(copied, damage):
    folder = copied("qwen2_5_vl")
    path = sorted(folder.glob("*.safetensors"))[0]
    path.write_bytes(damage)
    with pytest.raises(CheckpointError, match=path.name):
        read_checkpoint(folder)


def test_an_index_that_names_what_is_not_there_is_told(copied):
    folder = copied("qwen2_5_vl")
    index = json.loads((folder / INDEX).read_text())
    _, shard = sorted(index["weight_map"].items())[0]
    index["weight_map"]["model.layers.9.mlp.up_proj.weight"] = shard
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=rf"model\.layers\.9\.mlp\.up_proj\.weight in {shard}"):
        read_checkpoint(folder)
    (folder / shard).unlink()
    with pytest.raises(CheckpointError, match=f"lists {shard}, which is not there"):
        read_checkpoint(folder)


def test_a_shard_that_is_missing_is_named_even_without_an_index(copied):
    folder = copied("qwen2_5_vl")
    (folder / INDEX).unlink()
    missing = sorted(folder.glob("*.safetensors"))[3]
    missing.unlink()
    with pytest.raises(CheckpointError, match=f"lacks shard {missing.name}"):
        read_checkpoint(folder)


def test_pieces_of_each_rank_are_not_taken_for_shards(copied):
    folder = copied("qwen2_5_vl")
    (folder / INDEX).unlink()
    first = sorted(folder.glob("*.safetensors"))[0]
    (folder / "rank-1.safetensors").write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=rf"both in {first.name} and in rank-1\.safetensors"):
        read_checkpoint(folder)


def test_a_tensor_that_no_shard_has_is_missed_when_the_model_is_loaded(copied):
    folder = copied("qwen2_5_vl")
    path = sorted(folder.glob("*.safetensors"))[2]
    tensors = load_file(path)
    lost = sorted(tensors)[0]
    del tensors[lost]
    save_file(tensors, path)
    index = json.loads((folder / INDEX).read_text())
    del index["weight_map"][lost]
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors"):
        load_model(read_checkpoint(folder))


FORMATS = {
    "pytorch_model.bin": r"is a pickle.*save_pretrained",
    "pytorch_model_fsdp_0/__0_0.distcp": r"accelerate merge-weights \S+pytorch_model_fsdp_0",
    "global_step9/zero_pp_rank_0_mp_rank_00_optim_states.pt": r"zero_to_fp32\.py \S+ \S+ --safe_serialization",
    "README.md": r"no safetensors weights: save the model with save_pretrained",
}


@pytest.mark.parametrize("file", FORMATS)
def test_other_formats_are_refused_with_the_command_that_turns_them(copied, file):
    folder = copied("qwen2_5_vl")
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"0")
    with pytest.raises(CheckpointError, match=FORMATS[file]):
        read_checkpoint(folder)


def test_a_folder_without_config_or_of_no_known_family_is_told(copied):
    folder = copied("llava")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(CheckpointError, match=r"'llama' is of no family known here; known: qwen2_vl"):
        read_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no config\.json: copy it"):
        read_checkpoint(folder)


def test_a_whole_file_beside_the_shards_of_an_index_is_not_overlooked(copied):
    """transformers would load that file, and our counts and digests would be of the shards."""
    folder = copied("qwen2_5_vl")
    shutil.copy(next(folder.glob("model-*.safetensors")), folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"two checkpoints: model\.safetensors"):
        read_checkpoint(folder)


BASE = 500_000.0
SECTIONS = {"rope_type": "default", "mrope_section": [4, 6, 6]}


@pytest.mark.parametrize(
    ("name", "rope", "older"),
    [
        ("qwen2_5_vl", {**SECTIONS, "rope_theta": BASE}, {"rope_theta": BASE, "rope_scaling": SECTIONS}),
        ("llava", {"rope_type": "default", "rope_theta": BASE}, {"rope_theta": BASE, "rope_scaling": None}),
        (
            "gemma3",
            {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": BASE},
                "sliding_attention": {"rope_type": "default", "rope_theta": 20_000.0},
            },
            {
                **{"rope_theta": BASE, "rope_local_base_freq": 20_000.0},
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
    ],
)
def test_rotary_embeddings_as_transformers_5_writes_them_are_kept(copied, tmp_path, name, rope, older):
    """The transformers here would pass over them, and take its class's default base without a word."""
    folder = copied(name)
    config = json.loads((folder / "config.json").read_text())
    text = {k: v for k, v in config["text_config"].items() if not k.startswith("rope_")}

    def logits(**written):
        (folder / "config.json").write_text(json.dumps({**config, "text_config": {**text, **written}}))
        checkpoint = read_checkpoint(folder)
        plain = checkpoint if checkpoint.plain else write_plain(checkpoint, tmp_path / "plain")
        return Probe(folder).logits(load_model(plain))

    assert torch.equal(logits(rope_parameters=rope), logits(**older))
    assert not torch.equal(logits(**older), logits(rope_scaling=older["rope_scaling"]))


def test_weights_that_are_not_of_the_checkpoint_do_not_come_along(copied, tmp_path):
    """TensorRT-LLM reads every safetensors file of a folder, those of an earlier save as well."""
    folder = copied("qwen2_5_vl")
    assert read_checkpoint(folder).plain
    shutil.copy(next(folder.glob("model-*.safetensors")), folder / "model-00001-of-00002.safetensors")
    checkpoint = read_checkpoint(folder)
    assert not checkpoint.plain
    made = write_plain(checkpoint, tmp_path / "plain")
    assert made.plain and len(made.shards) == len(checkpoint.shards)


def test_a_checkpoint_and_an_adapter_in_one_folder_are_refused(copied, make_adapter):
    """transformers would load the adapter's own base, wherever that is, and put the adapter on it."""
    folder = copied("qwen2_5_vl")
    for path in make_adapter(folder, ["q_proj"]).glob("adapter_*"):
        shutil.copy(path, folder / path.name)
    with pytest.raises(CheckpointError, match=r"in one.*remove adapter_config\.json if it is merged"):
        read_checkpoint(folder)


def test_a_head_that_config_ties_away_is_not_lost_silently(copied):
    """Trained apart and saved, with a config.json that still says it is the embeddings."""
    folder = copied("qwen2_5_vl")
    config = json.loads((folder / "config.json").read_text())
    tied = {**config, "tie_word_embeddings": True}
    tied["text_config"] = {**config["text_config"], "tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps(tied))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight is not the embeddings.*tie_word_embeddings"):
        load_model(read_checkpoint(folder))
    held = {path: load_file(path) for path in folder.glob("*.safetensors")}
    embeddings = next(t for one in held.values() for name, t in one.items() if "embed_tokens" in name)
    for path, tensors in held.items():
        if "lm_head.weight" in tensors:
            save_file({**tensors, "lm_head.weight": embeddings}, path, metadata={"format": "pt"})
    load_model(read_checkpoint(folder))

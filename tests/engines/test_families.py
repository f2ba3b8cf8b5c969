"""The table of families against transformers' own classes and processors."""

import json
import shutil
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from radserve_engines.checkpoints.miniatures import list_miniatures, make_miniature, make_model
from radserve_engines.errors import CheckpointError, ManifestError
from radserve_engines.families import family_named, family_of, list_families, read_settings
from radserve_engines.families.model_inputs import ModelInputs

SIZES = [(56, 56), (64, 90), (300, 100), (40, 333), (224, 224)]


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def model_of(name):
    """Of its real class, on no device; Phi-4-MM with a LoRA within its layers, as it ships."""
    import peft

    with torch.device("meta"):
        model = make_model(name)
    if name == "phi4_multimodal":
        peft.inject_adapter_in_model(
            peft.LoraConfig(r=2, target_modules=["qkv_proj", "o_proj"]), model, "vision"
        )
    return model


@pytest.mark.parametrize("name", list_miniatures())
def test_what_stays_bf16_is_the_vision_side_and_the_head_and_nothing_else(name):
    family = family_named(name.partition("/")[0])
    layers = ("layers.", ".layer.", ".h.", ".block.")
    aside = ("vision", "qformer", "visual", "embed_tokens_extend", "lora_")
    for linear, module in model_of(name).named_modules():
        if isinstance(module, torch.nn.Linear):
            language = any(part in linear for part in layers) and not any(part in linear for part in aside)
            assert any(fnmatchcase(linear, one) for one in family.excluded) != language, linear
            assert (family.part_of(linear) == "language") == (language or linear.endswith("lm_head")), linear


@pytest.mark.parametrize("family", list_families(), ids=lambda family: family.name)
def test_each_wildcard_of_a_family_names_something(family):
    """A typo in a wildcard would quantize what must not be."""
    shared = {
        "*visual.deepstack_merger_list*": "qwen3_vl",
        "*image_newline*": "llava_next",
    }  # by rows of one kind
    own = [name for name in list_miniatures() if name.partition("/")[0] == family.name]
    for pattern in family.excluded:
        models = [model_of(name) for name in [*own, *filter(None, [shared.get(pattern)])]]
        names = [name for model in models for name in (*dict(model.named_modules()), *model.state_dict())]
        assert any(fnmatchcase(name, pattern) for name in names), pattern


@pytest.mark.parametrize("name", list_miniatures())
def test_the_class_of_the_row_is_that_of_the_config(name):
    model = model_of(name)
    assert type(model).__name__ == family_of(model.config.to_dict()).architecture


def test_an_unknown_family_is_told_what_is_known():
    with pytest.raises(CheckpointError, match=r"mllama.*qwen2_5_vl \(Qwen2\.5-VL\).*blip-2"):
        family_of({"model_type": "mllama"})
    with pytest.raises(ManifestError, match="gemma3"):
        family_named("gemma4")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    def make(name):
        return make_miniature(name, tmp_path_factory.mktemp("miniature"))

    return make


def noise(*size):
    return np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("name", ["llava", "llava_next", "gemma3", "blip-2/bloom"])
def test_inputs_are_those_of_the_familys_own_processor(miniature, name):
    """The four whose processors load without torchvision, token for token and pixel for pixel."""
    folder = miniature(name)
    ours = ModelInputs(folder)
    processor = own_processor(name, folder)
    for size in SIZES:
        image = noise(*size)
        text = f"one {ours.family.placeholder} two"
        plain = "one  two" if name.startswith("blip") else text
        theirs = processor(images=[image], text=plain, return_tensors="pt", input_data_format="channels_last")
        mine = ours.encode(text, [image])
        for key in set(theirs) & set(mine):
            assert torch.equal(torch.as_tensor(theirs[key]), mine[key]), (size, key)
        assert {"input_ids", "pixel_values"} <= set(theirs) & set(mine)


def own_processor(name, folder):
    import transformers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if name == "llava":
        images = transformers.CLIPImageProcessor.from_pretrained(folder)
        more = {
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        }
        return transformers.LlavaProcessor(images, tokenizer, **more)
    if name == "llava_next":
        images = transformers.LlavaNextImageProcessor.from_pretrained(folder)
        more = {
            "patch_size": 14,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
        }
        return transformers.LlavaNextProcessor(images, tokenizer, **more)
    if name == "gemma3":
        for key, token in (
            ("image", "<image_soft_token>"),
            ("boi", "<start_of_image>"),
            ("eoi", "<end_of_image>"),
        ):
            setattr(tokenizer, f"{key}_token", token)
            setattr(tokenizer, f"{key}_token_id", tokenizer.convert_tokens_to_ids(token))
        images = transformers.Gemma3ImageProcessor.from_pretrained(folder)
        return transformers.Gemma3Processor(images, tokenizer, image_seq_length=4)
    images = transformers.BlipImageProcessor.from_pretrained(folder)
    return transformers.Blip2Processor(images, tokenizer, num_query_tokens=4)


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen3_vl", "llava_onevision", "internvl", "phi4_multimodal"])
def test_an_image_takes_as_many_places_as_the_model_makes_features(miniature, name):
    """Each of these classes refuses a prompt with another number of image tokens than it has features."""
    import transformers

    folder = miniature(name)
    inputs, settings = ModelInputs(folder), read_settings(folder)
    model = (
        getattr(transformers, inputs.family.architecture).from_pretrained(folder, dtype=torch.float32).eval()
    )
    for images in ([noise(*size)] for size in SIZES):
        run(model, inputs, settings, images)
    run(model, inputs, settings, [noise(64, 90), noise(300, 100)])


def run(model, inputs, settings, images):
    seats = inputs.family.placeholder * len(images)
    encoded = inputs.encode(f"{seats} what?", images)
    with torch.inference_mode():
        assert torch.isfinite(model(**encoded).logits).all()
    image = inputs.tokenizer.token_to_id(inputs.family.image_token or inputs.family.placeholder)
    counted = sum(inputs.family.image_tokens(settings, *i.shape[:2], len(images)) for i in images)
    assert (encoded["input_ids"] == image).sum() == counted


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_qwens_bounds_count_by_either_of_their_names(miniature, name, tmp_path):
    """Qwen3-VL's file has them under `size` alone, which the processor that needs no torchvision overlooks."""
    folder = Path(shutil.copytree(miniature(name), tmp_path / "copied"))
    path = folder / "preprocessor_config.json"
    processor = json.loads(path.read_text())
    bounds = {"shortest_edge": processor.pop("min_pixels"), "longest_edge": processor.pop("max_pixels")}
    path.write_text(json.dumps({**processor, "size": bounds}))
    for size in SIZES:
        text, images = f"{family_named(name).placeholder} what?", [noise(*size)]
        before, after = (ModelInputs(one).encode(text, images) for one in (miniature(name), folder))
        assert torch.equal(before["input_ids"], after["input_ids"])
        assert torch.equal(before["image_grid_thw"], after["image_grid_thw"])


def test_a_prompt_without_its_images_is_refused(miniature):
    inputs = ModelInputs(miniature("llava"))
    with pytest.raises(CheckpointError, match="1 placeholders <image>, but 0 images"):
        inputs.encode("<image> what?", [])

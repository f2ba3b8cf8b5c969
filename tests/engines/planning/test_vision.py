"""What one image costs: tiles, patches, arithmetic."""

import pytest

from radserve_engines.planning.model_size import size_of, size_of_config
from radserve_engines.planning.vision import Seen

TEXT = {"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
TEXT |= {"num_attention_heads": 4, "vocab_size": 100}
INTERNVL = {"crop_to_patches": True, "size": {"height": 448, "width": 448}, "max_patches": 12}


@pytest.mark.parametrize(
    ("name", "side", "seen"),
    [
        ("qwen2.5-vl-3b", 896, Seen(1, 4096, 1024)),
        ("qwen2.5-vl-3b", 448, Seen(1, 1024, 256)),
        ("qwen3-vl-8b", 896, Seen(1, 3136, 784)),
        ("medgemma-4b", 512, Seen(1, 4096, 256)),
        ("llava-1.5-7b", 896, Seen(1, 577, 576)),
        ("blip2-opt-2.7b", 896, Seen(1, 257, 32)),
    ],
)
def test_an_image_takes_its_family_s_patches_and_places(name, side, seen):
    assert size_of(name).vision.see(side, side) == seen


@pytest.mark.parametrize(
    ("kind", "more", "height", "width", "images", "tiles"),
    [
        ("llava_next", {}, 600, 600, 1, 5),
        ("llava_next", {}, 300, 900, 1, 4),
        ("llava_onevision", {}, 384, 700, 1, 3),
        ("llava_onevision", {}, 384, 700, 2, 1),
        ("internvl", {"preprocessor": INTERNVL}, 448, 1344, 1, 4),
        ("internvl", {"preprocessor": INTERNVL}, 448, 448, 1, 1),
        ("internvl", {}, 448, 1344, 1, 1),
        ("phi4_multimodal", {}, 448, 1000, 1, 4),
    ],
)
def test_towers_of_one_size_see_tiles(kind, more, height, width, images, tiles):
    text = {} if kind == "phi4_multimodal" else {"text_config": TEXT}
    vision = size_of_config({"model_type": kind, **text, "vision_config": {}, **more}, kind).vision
    seen = vision.see(height, width, images)
    assert seen.tiles == tiles
    assert seen.patches == tiles * vision.see(14, 14, 2).patches / vision.see(14, 14, 2).tiles


def test_windows_save_most_of_the_attention():
    """Without windows, 4 × 1280 × 4096² a layer would add 2.4 TFLOP to the 5.6 of the 3B's tower."""
    vision = size_of("qwen2.5-vl-3b").vision
    seen = vision.see(896, 896)
    assert vision.flops(seen) / 1e12 == pytest.approx(5.63, abs=0.01)
    tiled = size_of("medgemma-4b").vision  # every patch attends to every other
    weights = 2 * (tiled.per_patch * 4096 + tiled.per_token * 256)
    assert tiled.flops(tiled.see(896, 896)) == weights + 4 * 1152 * 4096**2 * 27

import json
import re
from pathlib import Path

import numpy as np
import pytest

from radserve_engines import openvino_export

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
openvino = pytest.importorskip("openvino")

DEMO = Path(__file__).parents[2] / "models" / "radserve-demo"
SIDE = 8


@pytest.fixture(scope="module")
def model():
    """A Qwen2.5-VL of one text layer and two vision blocks, one of them windowed."""
    text = {
        "vocab_size": 50,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 32,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    torch.manual_seed(0)
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return transformers.Qwen2_5_VLForConditionalGeneration(config).eval()


def compile_graph(graph):
    return openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def test_language_model_remembers_what_it_was_given(model):
    """Prefill and two steps through the hidden cache equal one pass of the model over everything."""
    request = compile_graph(openvino_export.convert_language_model(model)).create_infer_request()
    embeds = torch.randn(1, 7, 32)
    positions = torch.arange(7).expand(3, 1, 7)
    with torch.no_grad():
        hidden = model.model.language_model(inputs_embeds=embeds, position_ids=positions).last_hidden_state
        expected = model.lm_head(hidden).numpy()
    for start, end in ((0, 5), (5, 6), (6, 7)):
        logits = request.infer(
            {
                "inputs_embeds": embeds[:, start:end].numpy(),
                "attention_mask": np.ones((1, end), np.int64),
                "position_ids": positions[:, :, start:end].numpy(),
                "beam_idx": np.zeros(1, np.int32),
            }
        )["logits"]
        np.testing.assert_allclose(logits, expected[:, start:end], atol=2e-4)


def test_vision_graphs_equal_the_model_on_windows_and_full_attention(model):
    visual = model.model.visual
    grid = torch.tensor([[1, SIDE, SIDE]])
    patches = torch.randn(SIDE * SIDE, 3 * 2 * 14 * 14)
    with torch.no_grad():
        expected = visual(patches, grid_thw=grid).numpy()
    windows, edges = visual.get_window_index(grid)
    owner = np.searchsorted(np.unique(edges), np.arange(SIDE * SIDE), side="right")
    blocked = np.where(owner[:, None] == owner, 0.0, -np.inf).astype(np.float32)
    embedded = compile_graph(openvino_export.convert_vision_embeddings(model))(patches.numpy())[0]
    tokens = compile_graph(openvino_export.convert_vision_merger(model))(
        {
            "hidden_states": embedded,
            "attention_mask": np.zeros_like(blocked)[None],
            "window_attention_mask": blocked[None],
            "window_index": windows.numpy(),
            "rotary_pos_emb": visual.rot_pos_emb(grid).numpy(),
        }
    )[0]
    np.testing.assert_allclose(tokens, expected, atol=2e-4)


@pytest.mark.skipif(not DEMO.is_dir(), reason="the demo model is not in this checkout")
def test_shipped_files_name_no_place_on_the_machine_that_made_them():
    files = [path for path in DEMO.rglob("*") if path.suffix in (".json", ".xml", ".md", ".jinja")]
    assert len(files) > 10
    rooted = re.compile(r"""["'\s=](/(?:home|root|tmp|usr|mnt|opt|work|data|var)/|[A-Z]:\\\\)""")
    assert [str(path) for path in files if rooted.search(path.read_text())] == []
    config = json.loads((DEMO / "checkpoint" / "config.json").read_text())
    assert "_name_or_path" not in config
    assert config["architectures"] == ["Qwen2_5_VLForConditionalGeneration"]

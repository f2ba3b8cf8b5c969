"""Every family from a sharded checkpoint, an adapter merged, to a manifest, and to an answer about an image."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radserve_engines.building import BuildRequest, build_engine
from radserve_engines.checkpoints.miniatures import list_miniatures, make_miniature
from radserve_engines.generation import Generation, Sampling
from radserve_engines.manifest import read_manifest
from radserve_engines.runtime.loading import load_runtime

pytestmark = pytest.mark.usefixtures("one_thread")
ADAPTED = {
    "qwen2_5_vl": ["q_proj", "down_proj"],
    "gemma3": ["q_proj", "v_proj"],
    "blip-2/bloom": ["query_key_value"],
}


@pytest.mark.parametrize("name", list_miniatures())
def test_a_family_is_recognised_merged_quantized_and_answers(
    name: str,
    make_adapter: Callable[..., Path],
    follow: Callable[..., Any],
    calibration_set: Path,
    tmp_path: Path,
) -> None:
    checkpoint = make_miniature(name, tmp_path / "checkpoint")
    assert len(list(checkpoint.glob("*.safetensors"))) > 1
    adapters = (make_adapter(checkpoint, ADAPTED[name]),) if name in ADAPTED else ()
    out = tmp_path / "engine"
    build_engine(
        BuildRequest(
            *(checkpoint, out, "torch", "int8"), adapters=adapters, calibration=(calibration_set,), samples=2
        )
    )
    manifest = read_manifest(out)
    assert (manifest.family, manifest.precision) == (name.partition("/")[0], "int8")
    assert len(manifest.adapters) == len(adapters)
    stages = {one["stage"]: one for one in manifest.stages}
    assert stages["quantize"]["quant_algo"] == "W8A16"
    assert stages["quantize"]["untouched_tensors"] > 0
    runtime = load_runtime(out, manifest)
    policy = manifest.image_policy
    image = np.random.default_rng(0).integers(0, 256, (policy.height, policy.width, 3), np.uint8)
    parts = [{"type": "image"}, {"type": "text", "text": "What is shown?"}]
    asked = follow(
        runtime, Generation(({"role": "user", "content": parts},), (image,), Sampling(max_tokens=3))
    )
    last = asked.rest()[-1]
    runtime.close()
    assert last.finish_reason in ("stop", "length")
    assert last.timings.image_tokens > 0

"""A quantization that went wrong does not get through the gate, though the engine still talks."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.assets import demo_checkpoint
from radserve_engines.building import BuildRequest, build_engine
from radserve_engines.building.regating import GateRequest, gate_engine
from radserve_engines.gating import GateSettings, Thresholds
from radserve_engines.manifest import digest_files, read_manifest, write_manifest

SLAKE = Path(__file__).resolve().parents[4] / "shared" / "data" / "slake"
SETTINGS = GateSettings(Thresholds(least_questions=40, least_images=12, modality_questions=20))


@pytest.fixture(scope="module")
def slake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Three questions on each of 14 validation images, and 4 training questions."""
    if not SLAKE.is_dir():
        pytest.skip("the shared medical question sets are not beside this checkout")
    folder = tmp_path_factory.mktemp("slake")
    paths = []
    for name, images, each in (("validate", 14, 3), ("train", 4, 1)):
        rows = [json.loads(line) for line in (SLAKE / f"{name}.jsonl").read_text().splitlines()]
        names = list(dict.fromkeys(row["image"] for row in rows))
        kept = [
            row
            for image in names[:: len(names) // images][:images]
            for row in [one for one in rows if one["image"] == image][:each]
        ]
        path = folder / f"{name}.jsonl"
        absolute = [{**row, "image": str(SLAKE / row["image"])} for row in kept]
        path.write_text("".join(json.dumps(row) + "\n" for row in absolute))
        paths.append(path)
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def sound(slake: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo checkpoint in INT8, which passes."""
    validate, train = slake
    request = BuildRequest(
        demo_checkpoint(),
        tmp_path_factory.mktemp("built") / "engine",
        "torch",
        "int8",
        calibration=(train,),
        gate=(validate,),
        gate_settings=SETTINGS,
    )
    assert build_engine(request).gate["status"] == "passed"
    return request.out


def scale_up(tensors: dict[str, object]) -> None:
    name = next(name for name in tensors if name.endswith("layers.1.mlp.down_proj.weight_scale"))
    tensors[name] = tensors[name] * 100  # type: ignore[operator]


def blind(tensors: dict[str, object]) -> None:
    for name in tensors:
        if "visual" in name:
            tensors[name] = tensors[name] * 0  # type: ignore[operator]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("damage", "reason"), [(scale_up, "accuracy over all falls"), (blind, "images only 0.0 %")]
)
def test_a_scale_off_by_a_hundred_and_a_vision_tower_of_zeros_are_caught(
    slake: tuple[Path, Path],
    sound: Path,
    tmp_path: Path,
    damage: Callable[[dict[str, object]], None],
    reason: str,
) -> None:
    from safetensors.torch import load_file, save_file

    engine = tmp_path / "engine"
    shutil.copytree(sound, engine)
    manifest = read_manifest(engine)
    (weights,) = engine.glob("*.safetensors")
    tensors = load_file(weights)
    damage(tensors)
    save_file(tensors, weights, metadata={"format": "pt"})
    write_manifest(engine, replace(manifest, files=digest_files(engine)))
    work = sound.with_name("engine.build")
    request = GateRequest(
        engine, work / "checkpoint", (slake[0],), SETTINGS, reference_answers=work / "reference-answers"
    )
    gate = gate_engine(request).gate
    assert gate["status"] == "failed"
    assert any(reason in told for told in gate["reasons"]), gate["reasons"]

"""An engine folder is what its manifest says, to the byte, or it is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.errors import ManifestError
from radserve_engines.manifest import FILE_NAME, EngineManifest, read_manifest, write_manifest


def test_the_shipped_engine_is_whole(engine_folder: Path) -> None:
    manifest = read_manifest(engine_folder)
    assert manifest.target == "openvino"
    assert manifest.digest.startswith("sha256:")
    assert {"openvino_language_model.bin", "tokenizer.json", "chat_template.jinja"} <= set(manifest.files)


def test_a_manifest_survives_writing_and_reading(copied_engine: Path, manifest: EngineManifest) -> None:
    write_manifest(copied_engine, manifest)
    assert read_manifest(copied_engine) == manifest


def test_another_prompt_default_or_window_is_another_engine(manifest: EngineManifest) -> None:
    warmer = replace(manifest, decoding=replace(manifest.decoding, temperature=0.5))
    brighter = replace(manifest, image_policy=replace(manifest.image_policy, background=9))
    assert len({manifest.digest, warmer.digest, brighter.digest}) == 3


def test_a_changed_file_is_refused_by_name(copied_engine: Path) -> None:
    template = copied_engine / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(ManifestError, match=r"chat_template\.jinja is not the file"):
        read_manifest(copied_engine)


def test_a_missing_file_is_refused_by_name(copied_engine: Path) -> None:
    (copied_engine / "tokenizer.json").unlink()
    with pytest.raises(ManifestError, match=r"tokenizer\.json is listed"):
        read_manifest(copied_engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "abacus"}, "target must be one of"),
        ({"context_length": 0}, "context_length must be a positive integer"),
        ({"schema": 99}, "schema must be 1"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"image_policy": {"width": "wide"}}, "width"),
        ({"decoding": {"temperature": -1}}, "temperature must be"),
        ({"files": {"../../etc/passwd": "sha256:0"}}, "lies outside"),
    ],
)
def test_an_ill_manifest_is_refused_with_the_field(
    copied_engine: Path, change: dict[str, object], message: str
) -> None:
    path = copied_engine / FILE_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ManifestError, match=message):
        read_manifest(copied_engine)


def test_a_folder_without_manifest_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no engine\.json"):
        read_manifest(tmp_path)

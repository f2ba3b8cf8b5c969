"""What a second command does in the folder of the first: it never mixes two builds, nor loses what it was given."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_engines.acceptance import Acceptance
from radserve_engines.building import BuildRequest, build_engine, compiling
from radserve_engines.building.folders import claim, hold
from radserve_engines.building.regating import GateRequest, gate_engine
from radserve_engines.building.stages import LOG_NAME
from radserve_engines.errors import BuildRefused, EvaluationError, SignatureError
from radserve_engines.manifest import SIGNATURE_NAME, read_manifest
from radserve_engines.signing import make_key, public_path

Wish = Callable[..., BuildRequest]


@pytest.fixture
def acceptance(signing_key: Path) -> Acceptance:
    return Acceptance((public_path(signing_key),))


def gate_again(request: BuildRequest, **more: object) -> GateRequest:
    usual = {
        "engine": request.out,
        "checkpoint": request.work / "checkpoint",
        "sets": request.gate,
        "settings": request.gate_settings,
        "key": request.key,
    }
    return GateRequest(**{**usual, **more})  # type: ignore[arg-type]


def test_another_engine_in_the_same_folder_is_asked_anew(wish: Wish, acceptance: Acceptance) -> None:
    """Answers of the one before are none of its own, and are not in its way."""
    build_engine(wish())
    request = wish(context_length=200, name="other")
    gate = build_engine(request).gate
    assert gate["judged"]["name"] == "other"
    assert acceptance.accept(request.out).context_length == 200
    fewer = replace(request.gate_settings, limit=12)
    assert build_engine(replace(request, gate_settings=fewer)).gate["overall"]["questions"] == 12


def test_a_key_that_comes_later_signs_and_one_that_is_left_out_leaves_no_signature(
    wish: Wish, acceptance: Acceptance, tmp_path: Path
) -> None:
    request = wish(key=None, gate=())
    ungated = replace(acceptance, allow_ungated=True)
    build_engine(request)
    build_engine(wish(gate=()))
    assert ungated.accept(request.out)
    make_key(tmp_path / "other.pem")
    build_engine(wish(gate=(), key=tmp_path / "other.pem"))
    with pytest.raises(SignatureError, match="not trusted here"):
        ungated.accept(request.out)
    build_engine(request)
    assert not (request.out / SIGNATURE_NAME).exists()


def test_a_build_that_died_in_the_middle_of_another_is_not_taken_for_it(
    wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16, then int8 that dies while it writes, then bf16 again: its files were there once, and are not now."""
    first = build_engine(wish(gate=()))

    def die(source: Path, out: Path, *, own: bool) -> None:
        shutil.copy(source / "chat_template.jinja", out)
        shutil.copy(source / "hf_quant_config.json", out)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compiling, "copy_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            build_engine(wish(gate=(), precision="int8"))
    assert dict(build_engine(wish(gate=())).files) == dict(first.files)


def test_two_builds_of_one_folder_are_refused(wish: Wish) -> None:
    request = wish(gate=())
    with (
        claim(request.out, request.work),
        pytest.raises(BuildRefused, match="another build or gate is at work"),
    ):
        build_engine(request)
    assert build_engine(request)


@pytest.mark.parametrize("option", ["checkpoint", "gate", "key"])
def test_what_a_build_reads_is_never_emptied_by_it(wish: Wish, option: str, tmp_path: Path) -> None:
    request = wish(gate=())
    build_engine(request)
    inside = request.out / "inside"
    shutil.copytree(wish().checkpoint, inside)
    given = {"checkpoint": request.out, "gate": (inside / "config.json",), "key": inside / "config.json"}
    with pytest.raises(BuildRefused, match=f"--{option} .*lies in --out"):
        build_engine(wish(**{option: given[option]}))
    with pytest.raises(BuildRefused, match=r"--checkpoint .* overlaps with --out"):
        build_engine(wish(checkpoint=inside, out=inside / "engine"))
    assert (inside / "model.safetensors.index.json").is_file() or any(inside.glob("*.safetensors"))


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_without_a_name_is_refused(wish: Wish, name: str) -> None:
    with pytest.raises(BuildRefused, match="has no name of its own"):
        build_engine(wish(out=Path(name)))


def test_an_engine_s_folder_may_be_a_link_and_have_blanks(wish: Wish, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "the ward").symlink_to(tmp_path / "big disk")
    request = wish(gate=(), out=tmp_path / "the ward")
    for precision in ("bf16", "int8"):
        assert build_engine(replace(request, precision=precision)).precision == precision
    assert (tmp_path / "the ward").is_symlink()


def test_options_that_this_build_has_no_use_for_are_told(wish: Wish) -> None:
    request = wish(gate=(), gpu="hopper", max_batch_size=8)
    build_engine(request)
    log = (request.work / LOG_NAME).read_text()
    for option in ("--gpu", "--max-batch", "--calibration"):
        assert f"{option} is not used" in log


@pytest.fixture
def published(wish: Wish, tmp_path: Path) -> Path:
    """A checkpoint as most are published: a README beside it, its template inside another file."""
    folder = tmp_path / "published"
    shutil.copytree(wish().checkpoint, folder)
    template = folder / "chat_template.jinja"
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template.read_text()}))
    template.unlink()
    (folder / "README.md").write_text("# A model")
    return folder


def test_an_engine_is_judged_against_the_folder_that_its_build_left_and_the_checkpoint_itself(
    wish: Wish, published: Path, tmp_path: Path
) -> None:
    request = wish(gate=(), checkpoint=published)
    gate = request.gate_settings
    build_engine(request)
    (sets,) = wish().gate
    for checkpoint in (request.work / "checkpoint", published):
        asked = gate_again(request, checkpoint=checkpoint, sets=(sets,), settings=gate)
        assert gate_engine(asked).gate["status"] == "passed"
    moved = tmp_path / "moved"
    shutil.copytree(request.work / "checkpoint", moved, symlinks=True)
    published.rename(published.with_name("gone"))
    with pytest.raises(BuildRefused, match="is a link that leads nowhere"):
        gate_engine(gate_again(request, checkpoint=moved, sets=(sets,)))


def test_a_gate_without_a_key_leaves_no_signature_and_no_answers_in_the_engine(wish: Wish) -> None:
    request = wish()
    build_engine(request)
    with pytest.raises(BuildRefused, match="lies in the engine's folder"):
        gate_engine(gate_again(request, out=request.out / "gate"))
    with hold(gate_again(request).work), pytest.raises(BuildRefused, match="another build or gate"):
        gate_engine(gate_again(request))
    gate_engine(gate_again(request, key=None))
    assert not (request.out / SIGNATURE_NAME).exists()
    assert read_manifest(request.out).gate["status"] == "passed"


def test_named_answers_are_forgotten_only_if_that_is_asked_for(wish: Wish, tmp_path: Path) -> None:
    """The checkpoint's answers to a few questions, and then to more."""
    kept = tmp_path / "kept"
    request = wish(reference_answers=kept, gate_settings=replace(wish().gate_settings, limit=12))
    build_engine(request)
    before = (kept / "answers.jsonl").read_bytes()
    more = wish(reference_answers=kept)
    with pytest.raises(EvaluationError, match=r"its limit was 12, now it is None.*--fresh"):
        build_engine(more)
    assert (kept / "answers.jsonl").read_bytes() == before
    assert build_engine(replace(more, fresh=True)).gate["overall"]["questions"] == 24
    with pytest.raises(EvaluationError, match="--fresh"):
        gate_engine(gate_again(request, reference_answers=kept))
    assert gate_engine(gate_again(request, reference_answers=kept, fresh=True)).gate["limit"] == 12


def test_other_libraries_build_it_again(wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest names the versions: those of today did not make the files of yesterday."""
    from radserve_engines.building import build

    request = wish(gate=())
    build_engine(request)
    monkeypatch.setattr(build, "list_versions", lambda: {"nvidia-modelopt": "99"})
    size = (request.work / LOG_NAME).stat().st_size
    assert build_engine(request).tools == {"nvidia-modelopt": "99"}
    assert "done before" not in (request.work / LOG_NAME).read_text()[size:]


def test_a_gate_that_is_asked_for_inside_the_engine_s_folder_keeps_its_answers_outside(
    wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = wish(gate=())
    build_engine(request)
    monkeypatch.chdir(request.out)
    asked = gate_again(request, engine=Path("."), sets=wish().gate)
    assert asked.work == Path(os.path.realpath(request.out)).with_name("engine.gate")
    assert gate_engine(asked).gate["status"] == "passed"


def test_images_drawn_anew_under_their_old_names_are_seen(wish: Wish, tmp_path: Path) -> None:
    """The file of questions is the same, and so is its digest."""
    folder = tmp_path / "redrawn"
    shutil.copytree(wish().gate[0].parent, folder)
    request = wish(gate=(folder / wish().gate[0].name,))
    build_engine(request)
    first = (folder / "0.png").read_bytes()
    for image in folder.glob("*.png"):
        image.write_bytes(first)
    gate = build_engine(request).gate
    assert gate["sensitivity"]["swapped"]["engine"]["changed"]["value"] == 0  # all images are one

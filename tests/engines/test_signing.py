"""An engine is served only if nothing of it was changed since somebody who is trusted signed it off."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey

from radserve_client.cli import main
from radserve_engines.acceptance import TRUSTED_VARIABLE, UNGATED_VARIABLE, Acceptance
from radserve_engines.assets import demo_engine
from radserve_engines.errors import ManifestError, SignatureError
from radserve_engines.manifest import FILE_NAME, SIGNATURE_NAME, read_manifest, write_manifest
from radserve_engines.signing import make_key, public_path, read_private_key, read_public_keys, sign_engine

SignOff = Callable[..., Path]


@pytest.fixture
def signed(copied_engine: Path, sign_off: SignOff) -> Path:
    return sign_off(copied_engine)


@pytest.fixture
def acceptance(signing_key: Path) -> Acceptance:
    return Acceptance((public_path(signing_key),))


def test_a_signed_engine_that_passed_its_gate_is_taken(signed: Path, acceptance: Acceptance) -> None:
    assert acceptance.accept(signed).gate["status"] == "passed"


def test_the_shipped_engine_is_taken_as_it_is() -> None:
    assert Acceptance().accept(demo_engine()).gate["status"] == "passed"


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.json"])
def test_a_changed_file_is_refused_by_name(signed: Path, acceptance: Acceptance, name: str) -> None:
    data = bytearray((signed / name).read_bytes())
    data[len(data) // 2] ^= 1
    (signed / name).write_bytes(data)
    with pytest.raises(ManifestError, match=f"{name} is not the file"):
        acceptance.accept(signed)


@pytest.mark.parametrize("name", ["generation_config.json", "adapters/adapter_config.json"])
def test_a_file_that_was_put_beside_the_others_is_refused_by_name(
    signed: Path, acceptance: Acceptance, name: str
) -> None:
    """Libraries that load engines look for files of such names, and obey them."""
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_text("{}")
    with pytest.raises(ManifestError, match=f"{name} is not one of the files"):
        acceptance.accept(signed)


def test_a_changed_manifest_is_refused(signed: Path, acceptance: Acceptance) -> None:
    """Even by a blank: what was signed are its bytes."""
    path = signed / FILE_NAME
    path.write_text(path.read_text() + " ")
    with pytest.raises(SignatureError, match=r"engine\.json was changed after it was signed"):
        acceptance.accept(signed)


def test_a_changed_signature_is_refused(signed: Path, acceptance: Acceptance) -> None:
    path = signed / SIGNATURE_NAME
    given = json.loads(path.read_text())
    for change, message in (
        ({"signature": "A" * 86 + "=="}, "was changed after it was signed"),
        ({"signature": "not base64!"}, r"engine\.json\.sig is not a signature"),
        ({"algorithm": "none"}, "algorithm must be ed25519"),
    ):
        path.write_text(json.dumps({**given, **change}))
        with pytest.raises(SignatureError, match=message):
            acceptance.accept(signed)


def test_an_unsigned_manifest_is_refused_with_the_way_out(signed: Path, acceptance: Acceptance) -> None:
    (signed / SIGNATURE_NAME).unlink()
    with pytest.raises(SignatureError, match=r"engine\.json is not signed.*radserve engine sign"):
        acceptance.accept(signed)


def test_a_stranger_s_signature_is_refused_until_his_key_is_trusted(signed: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "his.pem")
    sign_engine(signed, read_private_key(tmp_path / "his.pem"))
    with pytest.raises(SignatureError, match=r"engine\.json\.sig is by the key .* not trusted here"):
        Acceptance().accept(signed)
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "his.pub").write_bytes(public_path(tmp_path / "his.pem").read_bytes())
    for place in (keys, keys / "his.pub"):
        assert Acceptance((place,)).accept(signed)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"status": "failed", "reasons": ["it is blind"]}, "failed its gate: it is blind"),
        ({"status": "simulated"}, "in simulation only"),
        ({"status": "not run"}, "has not been through its gate"),
    ],
)
def test_an_engine_that_did_not_pass_is_taken_only_if_that_is_asked_for(
    copied_engine: Path, sign_off: SignOff, acceptance: Acceptance, gate: dict[str, object], message: str
) -> None:
    sign_off(copied_engine, **gate)
    with pytest.raises(ManifestError, match=rf"engine\.json: engine .*{message}.*--allow-ungated"):
        acceptance.accept(copied_engine)
    assert Acceptance(acceptance.trusted_keys, allow_ungated=True).accept(copied_engine)


def test_to_allow_ungated_engines_does_not_allow_unsigned_ones(signed: Path, acceptance: Acceptance) -> None:
    (signed / SIGNATURE_NAME).unlink()
    with pytest.raises(SignatureError, match="not signed"):
        Acceptance(acceptance.trusted_keys, allow_ungated=True).accept(signed)


def test_the_environment_carries_it_to_another_process(tmp_path: Path) -> None:
    wanted = Acceptance((tmp_path / "a.pub", tmp_path / "b"), allow_ungated=True)
    assert Acceptance.from_environment(wanted.to_environment()) == wanted
    assert Acceptance.from_environment({}) == Acceptance()
    with pytest.raises(ManifestError, match=f"{UNGATED_VARIABLE} must be 1 or 0"):
        Acceptance.from_environment({UNGATED_VARIABLE: "perhaps"})


def test_a_private_key_is_its_owner_s_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing.pem"
    fingerprint = make_key(path)
    assert path.stat().st_mode & 0o077 == 0
    assert list(read_public_keys(public_path(path))) == [fingerprint]
    with pytest.raises(SignatureError, match="File exists"):
        make_key(path)


def test_a_file_that_is_no_key_is_refused_with_what_it_should_be(tmp_path: Path, signing_key: Path) -> None:
    other = tmp_path / "ed448.pem"
    other.write_bytes(
        Ed448PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    for path, message in (
        (other, "no Ed25519 key"),
        (public_path(signing_key), "not an unencrypted private key"),
    ):
        with pytest.raises(SignatureError, match=message):
            read_private_key(path)
    with pytest.raises(SignatureError, match=r"cannot be read.*radserve engine key"):
        read_private_key(tmp_path / "gone.pem")
    with pytest.raises(SignatureError, match="holds no public key in PEM, but a private one"):
        read_public_keys(signing_key)
    with pytest.raises(SignatureError, match="holds no public key"):
        read_public_keys(tmp_path)


def test_trusted_keys_that_are_not_there_are_told(signed: Path, tmp_path: Path) -> None:
    environment = {TRUSTED_VARIABLE: str(tmp_path / "gone.pub")}
    with pytest.raises(SignatureError, match=r"gone\.pub cannot be read"):
        Acceptance.from_environment(environment).accept(signed)


def test_a_folder_that_is_linked_in_is_refused_like_any_stranger(
    signed: Path, acceptance: Acceptance, tmp_path: Path
) -> None:
    """Nothing looks through the link for files that are not listed, but a library would."""
    (tmp_path / "elsewhere").mkdir()
    (signed / "additional_chat_templates").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ManifestError, match="additional_chat_templates is not one of the files"):
        acceptance.accept(signed)


def test_a_link_to_nothing_yet_is_refused(signed: Path, acceptance: Acceptance, tmp_path: Path) -> None:
    (signed / "adapter_config.json").symlink_to(tmp_path / "later")
    with pytest.raises(ManifestError, match=r"adapter_config\.json is not one of the files"):
        acceptance.accept(signed)


def swapping(read: Callable[..., Any], watched: Path, other: bytes) -> Callable[..., Any]:
    """Reads as before; once `watched` was read it holds `other`."""

    def swap(path: Path, *given: str) -> Any:
        data = read(path, *given)
        if path == watched:
            path.write_bytes(other)
        return data

    return swap


def test_the_manifest_that_is_verified_is_the_one_that_is_believed(
    signed: Path, acceptance: Acceptance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapped between two reads, another manifest could be parsed than the one that was signed."""
    honest = (signed / FILE_NAME).read_bytes()
    (signed / FILE_NAME).write_bytes(honest.replace(b'"passed"', b'"failed"'))
    for name in ("read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, swapping(getattr(Path, name), signed / FILE_NAME, honest))
    with pytest.raises(SignatureError, match="was changed after it was signed"):
        acceptance.accept(signed)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"reasons": ["it is blind"]}, "gives reasons to fail it"),
        ({"judged": {"digest": "sha256:another"}}, "the gate of another engine"),
        ({"judged": {"simulated": True}}, "that it was simulated"),
        ({"judged": None}, "not which engine it judged"),
    ],
)
def test_a_gate_that_contradicts_its_engine_or_itself_is_refused_whatever_is_allowed(
    copied_engine: Path, sign_off: SignOff, acceptance: Acceptance, gate: dict[str, object], message: str
) -> None:
    """The gateway would show it as passed."""
    sign_off(copied_engine, **gate)
    for allowed in (False, True):
        with pytest.raises(ManifestError, match=message):
            Acceptance(acceptance.trusted_keys, allow_ungated=allowed).accept(copied_engine)


def test_nobody_signs_the_gate_of_another_engine(
    copied_engine: Path, sign_off: SignOff, signing_key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A window was changed by hand in a manifest that had passed: `sign` would make it look judged."""
    sign_off(copied_engine, judged={"digest": "sha256:before"})
    (copied_engine / SIGNATURE_NAME).unlink()
    assert main(["engine", "sign", str(copied_engine), "--key", str(signing_key)]) == 1
    assert "the gate of another engine" in capsys.readouterr().err
    assert not (copied_engine / SIGNATURE_NAME).exists()


def test_a_chat_template_outside_the_signed_files_is_refused(
    signed: Path, acceptance: Acceptance, sign_off: SignOff, tmp_path: Path
) -> None:
    (tmp_path / "mine.jinja").write_text("{{ messages }}")
    write_manifest(signed, replace(read_manifest(signed), chat_template=str(tmp_path / "mine.jinja")))
    with pytest.raises(ManifestError, match=r"mine\.jinja' is not one of its files"):
        acceptance.accept(sign_off(signed))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"target": "fake"', b'"target": ["fake"]', "field 'target' must be a string"),
        (b'"target": "fake"', b'"target": "fake", "target": "torch"', "'target' is there twice"),
        (b'"status": "passed"', b'"status": NaN', "NaN is no number of JSON"),
    ],
)
def test_an_ill_manifest_is_told_in_a_line(signed: Path, old: bytes, new: bytes, message: str) -> None:
    data = (signed / FILE_NAME).read_bytes()
    assert old in data
    (signed / FILE_NAME).write_bytes(data.replace(old, new, 1))
    with pytest.raises(ManifestError, match=message):
        read_manifest(signed)


@pytest.mark.parametrize("value", ["passed", ["passed"], None, 1])
def test_a_gate_of_another_type_is_refused(signed: Path, value: object) -> None:
    given = json.loads((signed / FILE_NAME).read_text())
    (signed / FILE_NAME).write_text(json.dumps({**given, "gate": value}))
    with pytest.raises(ManifestError, match="field 'gate' must be an object"):
        read_manifest(signed)


def test_a_path_of_keys_that_a_list_of_paths_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="a:b"):
        Acceptance((tmp_path / "a:b.pub",)).to_environment()

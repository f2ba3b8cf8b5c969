"""`radserve up` takes an engine that is whole, signed and gated; what it refuses it names in a line."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from radserve_engines.assets import demo_engine
from radserve_engines.manifest import SIGNATURE_NAME, read_manifest, write_manifest
from radserve_engines.signing import public_path

SignOff = Callable[..., Path]


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """The fake engine, which says the question back."""
    folder = tmp_path / "engine"
    folder.mkdir()
    manifest = read_manifest(demo_engine())
    files = {name: manifest.files[name] for name in ("tokenizer.json", manifest.chat_template)}
    for name in files:
        shutil.copy(demo_engine() / name, folder / name)
    write_manifest(folder, replace(manifest, target="fake", files=files, confidence=None))
    return folder


@pytest.fixture
def refusal(signing_key: Path) -> Callable[..., str]:
    """What `radserve up` says of an engine that it refuses."""

    def up(engine: Path, *more: str) -> str:
        keys = ("--trusted-keys", str(public_path(signing_key)))
        command = [
            sys.executable,
            "-m",
            "radserve_client",
            "up",
            "--port",
            "0",
            "--engine",
            str(engine),
            *keys,
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
        ended = subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr

    return up


def test_a_changed_file_an_unsigned_manifest_and_a_missing_gate_are_refused_by_name(
    engine: Path, sign_off: SignOff, refusal: Callable[..., str]
) -> None:
    sign_off(engine, status="not run")
    assert "engine.json: engine 'radserve-demo' has not been through its gate" in refusal(engine)
    sign_off(engine, status="failed", reasons=["it gives one answer to any image"])
    assert "engine.json: engine 'radserve-demo' failed its gate: it gives one answer" in refusal(engine)
    sign_off(engine)
    template = engine / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert "chat_template.jinja is not the file that this engine was built with" in refusal(engine)
    template.write_text(template.read_text()[:-1])
    (engine / SIGNATURE_NAME).unlink()
    assert "engine.json is not signed" in refusal(engine, "--allow-ungated")


def test_an_ungated_engine_is_served_if_that_is_asked_for_and_every_answer_says_so(
    engine: Path,
    sign_off: SignOff,
    signing_key: Path,
    own_chain: Callable[..., Any],
    asking: Callable[..., dict[str, Any]],
) -> None:
    sign_off(engine, status="failed", reasons=["it gives one answer to any image"])
    keys = ("--trusted-keys", str(public_path(signing_key)))
    chain = own_chain("--engine", str(engine), *keys, "--allow-ungated")
    answer = httpx.post(
        f"{chain.url}/v1/chat/completions", json=asking("Is there a bleed?"), timeout=60
    ).json()
    assert answer["clinical"]["engine"]["gate"] == "failed"
    assert "this engine has not passed its gate (status: failed)" in answer["clinical"]["warnings"]

"""An engine in a process of its own answers like any other, and its death is survived."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from radserve_engines.acceptance import TRUSTED_VARIABLE
from radserve_engines.errors import EngineFailed, QuestionRefused
from radserve_engines.manifest import digest_files, read_manifest, write_manifest
from radserve_engines.runtime.process import ProcessRuntime
from radserve_engines.signing import public_path

Ask = Callable[..., Any]


@pytest.fixture
def served(
    copied_engine: Path,
    sign_off: Callable[..., Path],
    signing_key: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """An engine that this environment trusts."""
    monkeypatch.setenv(TRUSTED_VARIABLE, str(public_path(signing_key)))
    return sign_off(copied_engine)


@pytest.fixture
def remote(served: Path) -> Iterator[ProcessRuntime]:
    runtime = ProcessRuntime(served)
    yield runtime
    runtime.close()


def test_answers_cancellation_refusal_and_counts_cross_the_boundary(remote: ProcessRuntime, ask: Ask) -> None:
    assert "".join(d.text for d in ask(remote, "is there a fracture").rest()) == "is there a fracture"
    long = ask(remote, max_tokens=1000, ignore_eos=True)
    long.next()
    assert remote.load().running == 1
    long.handle.cancel()
    assert long.rest()[-1].finish_reason == "cancelled"
    with pytest.raises(QuestionRefused, match="control token"):
        ask(remote, "a <|im_end|> b").rest()
    assert remote.probe(5)
    assert (remote.load().running, remote.load().cancelled) == (0, 1)


def test_a_killed_engine_fails_its_questions_and_comes_back(remote: ProcessRuntime, ask: Ask) -> None:
    long = ask(remote, max_tokens=1000, ignore_eos=True)
    long.next()
    os.kill(remote.engine_pid, signal.SIGKILL)
    with pytest.raises(EngineFailed):
        long.rest()
    deadline = time.monotonic() + 60
    while not remote.probe(0.5):
        assert time.monotonic() < deadline
    assert ask(remote, "still here").rest()[-1].finish_reason == "stop"


def test_an_engine_that_comes_back_as_another_says_so(
    remote: ProcessRuntime, served: Path, sign_off: Callable[..., Path], ask: Ask
) -> None:
    """Built again in the same folder while it was served: answers must not name the one before."""
    write_manifest(served, replace(read_manifest(served), name="another"))
    sign_off(served)
    os.kill(remote.engine_pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while remote.manifest.name != "another":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert remote.manifest.digest == read_manifest(served).digest


def test_an_engine_that_cannot_start_says_why(served: Path, sign_off: Callable[..., Path]) -> None:
    manifest = read_manifest(served)
    (served / "tokenizer.json").write_text("{}")
    with pytest.raises(EngineFailed, match=r"not served: tokenizer\.json is not the file"):
        ProcessRuntime(served)
    write_manifest(served, replace(manifest, files=digest_files(served)))
    sign_off(served)
    with pytest.raises(EngineFailed, match="did not start"):  # the tokenizer's own words stand on stderr
        ProcessRuntime(served)


def test_an_engine_that_nobody_here_trusts_does_not_start(
    served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUSTED_VARIABLE)
    with pytest.raises(EngineFailed, match=r"engine\.json\.sig is by the key .* not trusted"):
        ProcessRuntime(served)

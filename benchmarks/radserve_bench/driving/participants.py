"""Everybody who is measured, opened together; servers of engine folders are started, and end with the block."""

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from radserve_bench.errors import BenchError
from radserve_bench.record import Description
from radserve_bench.targets.keys import KEY_VARIABLE
from radserve_bench.targets.opening import open_target
from radserve_bench.targets.protocol import Target
from radserve_bench.targets.server import ServerTarget
from radserve_bench.targets.triton import TritonTarget
from radserve_client.running import running_server
from radserve_engines.assets import demo_checkpoint, demo_engine
from radserve_engines.checkpoints.digest import checkpoint_digest
from radserve_engines.manifest import read_manifest

SERVER, TRITON, TORCH = "server", "triton", "torch"
_WIDEST = 28
"""Of a name, so that tables stay narrow; the report's head has the whole address."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A target that was reached, what it says of itself, and the folder of its engine or checkpoint if it is here."""

    target: Target
    description: Description
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """`checkpoint` is the PyTorch baseline's (None: the demo's); `model` for endpoints that offer several;
    `trusted_keys` are those whose engines are served besides the demo's.
    """

    checkpoint: Path | None = None
    model: str | None = None
    timeout_s: float = 120.0
    trusted_keys: tuple[Path, ...] = ()


@asynccontextmanager
async def participants(words: Sequence[str], options: Options) -> AsyncIterator[list[Participant]]:
    """Opens each word: "server" (the demo engine's), an engine folder, "triton" (of the server named before it),
    "torch", or an address as `open_target` takes it. Raises BenchError or RadserveError.
    """
    _refuse_vain(words, options)
    _refuse_strangers(words, options)
    names = _names(words)
    others = {
        name: _open_other(word, name, options)
        for word, name in zip(words, names, strict=True)
        if word != TRITON and not _is_server(word)
    }
    async with AsyncExitStack() as stack:
        targets: list[Target] = []
        triton_url = ""
        for word, name in zip(words, names, strict=True):
            if _is_server(word):
                server = await stack.enter_async_context(running_server(*_serving(word, options)))
                triton_url, key = server.triton_url, os.environ.get(KEY_VARIABLE)
                targets.append(ServerTarget(name, server.url, key, timeout_s=options.timeout_s))
            elif word == TRITON:
                targets.append(TritonTarget(name, triton_url, timeout_s=options.timeout_s))
            else:
                targets.append(others[name])
        found = []
        for word, target in zip(words, targets, strict=True):
            stack.push_async_callback(target.close)
            found.append(Participant(target, await target.open(), _folder(word, options)))
        yield found


def _is_server(word: str) -> bool:
    """Whether one is started for it."""
    return word == SERVER or Path(word).is_dir()


def _open_other(word: str, name: str, options: Options) -> Target:
    return open_target(
        word, name=name, model=options.model, checkpoint=options.checkpoint, timeout_s=options.timeout_s
    )


def _serving(word: str, options: Options) -> list[str]:
    """What `radserve up` is told."""
    keys = [part for key in options.trusted_keys for part in ("--trusted-keys", str(key))]
    return ["--allow-ungated", *keys, *([] if word == SERVER else ["--engine", word])]


def _refuse_vain(words: Sequence[str], options: Options) -> None:
    """What would have no effect, and what cannot be found, before anything is started."""
    for place, word in enumerate(words):
        if word == TRITON and not any(map(_is_server, words[:place])):
            raise BenchError(f"{TRITON} is that of a server named before it: name one, or triton://host:port")
        if word != SERVER and _is_server(word):
            read_manifest(Path(word))
    if options.trusted_keys and not any(map(_is_server, words)):
        raise BenchError("--trusted-keys are for the server of an engine's folder, and no target is one")
    if options.checkpoint and TORCH not in words:
        raise BenchError(f"--checkpoint is what {TORCH} runs, and {TORCH} is not among the targets")
    if options.model and not any(word.rstrip("/").endswith("/v1") for word in words):
        raise BenchError("--model chooses one of an endpoint (http://host:port/v1), and there is none")


def _folder(word: str, options: Options) -> Path | None:
    """Of the engine or checkpoint behind a word, None where it is elsewhere or the one before has it."""
    if word == SERVER:
        return demo_engine()
    if word == TORCH:
        return options.checkpoint or demo_checkpoint()
    return Path(word) if Path(word).is_dir() else None


def _names(words: Sequence[str]) -> list[str]:
    """Short and different: the word, a folder's own name, an address without its scheme; numbered where alike."""
    whole = [
        Path(word).resolve().name if Path(word).is_dir() else re.sub(r"^https?://", "", word).rstrip("/")
        for word in words
    ]
    short = [name if len(name) <= _WIDEST else f"{name[: _WIDEST - 13]}…{name[-12:]}" for name in whole]
    return [name if short.count(name) == 1 else f"{name} {place}" for place, name in enumerate(short, 1)]


def _refuse_strangers(words: Sequence[str], options: Options) -> None:
    """An engine and a baseline of different checkpoints are no measure of each other."""
    if TORCH not in words:
        return
    expected = checkpoint_digest(options.checkpoint or demo_checkpoint())
    for word in words:
        folder = _folder(word, options)
        if word != TORCH and folder and read_manifest(folder).checkpoint_sha256 != expected:
            raise BenchError(
                f"{folder} was not made from the checkpoint that {TORCH} runs, so the two are no measure of each "
                "other: give its own checkpoint with --checkpoint"
            )

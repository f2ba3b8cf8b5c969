"""An engine that exists already, through its gate on the runtime that is here: `radserve engine gate`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_engines.building.folders import empty, hold, link_checkpoint
from radserve_engines.building.judging import (
    ANSWERS,
    NOT_RUN,
    REFERENCE_ANSWERS,
    is_simulated,
    open_engine,
    renew_answers,
)
from radserve_engines.building.libraries import calm_libraries
from radserve_engines.building.reference import open_reference
from radserve_engines.checkpoints import read_checkpoint
from radserve_engines.checkpoints.digest import checkpoint_digest
from radserve_engines.errors import BuildRefused
from radserve_engines.evaluation import QuestionSet, load_sets
from radserve_engines.families.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.gating import GateSettings, run_gate
from radserve_engines.manifest import EngineManifest, read_manifest, write_manifest
from radserve_engines.signing import drop_stale_signature, read_private_key, sign_engine


@dataclass(frozen=True, slots=True)
class GateRequest:
    """`checkpoint` is the unquantized one, adapters merged (a build leaves it in OUT.build/checkpoint).

    Without `out`, answers of another engine or to other questions are forgotten; `fresh` forgets all of them.
    """

    engine: Path
    checkpoint: Path
    sets: tuple[Path, ...]
    settings: GateSettings
    key: Path | None = None
    out: Path | None = None
    reference_answers: Path | None = None
    fresh: bool = False

    @property
    def work(self) -> Path:
        """Where the answers go."""
        engine = self.engine.resolve() if self.engine.name in ("", "..") else self.engine
        return self.out or engine.with_name(f"{engine.name}.gate")


def gate_engine(request: GateRequest) -> EngineManifest:
    """Judge, write the verdict into the manifest and sign it. Raises EngineError; answers are kept."""
    key = read_private_key(request.key) if request.key else None
    manifest = read_manifest(request.engine)
    _check_places(request)
    sets = load_sets(request.sets, request.settings.limit)
    calm_libraries()
    with hold(request.work):
        judged = replace(manifest, gate=_judge(request, manifest, sets))
        write_manifest(request.engine, judged)
        drop_stale_signature(request.engine, key)
        if key is not None:
            sign_engine(request.engine, key)
    return judged


def _judge(request: GateRequest, manifest: EngineManifest, sets: Sequence[QuestionSet]) -> dict[str, Any]:
    checkpoint = _open_checkpoint(request, manifest)
    bare = replace(manifest, gate=NOT_RUN, confidence=None)
    if request.out is None:
        renew_answers(request.work, bare, sets, request.settings.limit, request.reference_answers)
    return run_gate(
        lambda: open_engine(request.engine, request.engine, bare),
        lambda: open_reference(checkpoint, bare),
        sets,
        request.work / ANSWERS,
        request.settings,
        reference_out=request.reference_answers or request.work / REFERENCE_ANSWERS,
        simulated=is_simulated(manifest),
        fresh=request.fresh,
    )


def _check_places(request: GateRequest) -> None:
    """Answers in the engine's folder would be files that its manifest does not list."""
    for option, place in (("--out", request.out), ("--reference-answers", request.reference_answers)):
        if place is not None and place.resolve().is_relative_to(request.engine.resolve()):
            raise BuildRefused(f"{option} {place} lies in the engine's folder: take another")


def _open_checkpoint(request: GateRequest, manifest: EngineManifest) -> Path:
    """What the engine was built from, its template as a file. Raises BuildRefused for anything else."""
    checkpoint = request.checkpoint
    if not checkpoint.is_dir():
        raise BuildRefused(f"--checkpoint {checkpoint} is no folder")
    if broken := next((one for one in checkpoint.rglob("*") if one.is_symlink() and not one.exists()), None):
        raise BuildRefused(
            f"{broken} is a link that leads nowhere: give the checkpoint that it leads to where the engine was built, "
            "or copy the folder with what its links lead to"
        )
    found = checkpoint_digest(checkpoint)
    if found == _merged_digest(manifest.stages):
        return checkpoint
    if found != manifest.checkpoint_sha256 or manifest.adapters:
        raise BuildRefused(
            f"--checkpoint {checkpoint} ({found[:19]}…) is not what the engine was built from "
            f"({manifest.checkpoint_sha256[:19]}…{' and adapters' if manifest.adapters else ''}): give that, or the "
            "folder checkpoint that the build left beside the engine, in ENGINE.build"
        )
    if not read_checkpoint(checkpoint).plain:
        raise BuildRefused(f"{checkpoint} cannot be run as it is: give ENGINE.build/checkpoint")
    if (checkpoint / TEMPLATE).is_file():
        return checkpoint
    view = request.work / "checkpoint"
    empty(view)
    link_checkpoint(checkpoint, view)
    (view / TEMPLATE).write_text((request.engine / manifest.chat_template).read_text("utf-8"), "utf-8")
    return view


def _merged_digest(stages: tuple[Mapping[str, Any], ...]) -> str | None:
    return next((one["merged_sha256"] for one in stages if one.get("merged_sha256")), None)

"""An engine that exists already, through its gate on the runtime that is here: `radserve engine gate`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radserve_engines.building.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.building.judging import is_simulated, open_engine
from radserve_engines.building.libraries import calm_libraries
from radserve_engines.building.reference import open_reference
from radserve_engines.errors import BuildRefused
from radserve_engines.evaluation import load_sets
from radserve_engines.gating import GateSettings, run_gate
from radserve_engines.manifest import EngineManifest, read_manifest, write_manifest
from radserve_engines.sealing import checkpoint_digest
from radserve_engines.signing import read_private_key, sign_engine


@dataclass(frozen=True, slots=True)
class GateRequest:
    """`checkpoint` is the unquantized one, adapters merged (a build leaves it in OUT.build/checkpoint)."""

    engine: Path
    checkpoint: Path
    sets: tuple[Path, ...]
    settings: GateSettings
    key: Path | None = None
    out: Path | None = None
    reference_answers: Path | None = None

    @property
    def work(self) -> Path:
        """Where the answers go."""
        return self.out or self.engine.with_name(f"{self.engine.name}.gate")


def gate_engine(request: GateRequest) -> EngineManifest:
    """Judge, write the verdict into the manifest and sign it. Raises EngineError; answers are kept."""
    key = read_private_key(request.key) if request.key else None
    manifest = read_manifest(request.engine)
    _check_checkpoint(request.checkpoint, manifest)
    calm_libraries()
    sets = load_sets(request.sets, request.settings.limit)
    bare = replace(manifest, gate={"status": "not run"}, confidence=None)
    gate = run_gate(
        open_engine(request.engine, request.engine, bare),
        open_reference(request.checkpoint, bare),
        sets,
        request.work / "gate",
        request.settings,
        reference_out=request.reference_answers or request.work / "reference-answers",
        simulated=is_simulated(manifest),
    )
    judged = replace(manifest, gate=gate)
    write_manifest(request.engine, judged)
    if key is not None:
        sign_engine(request.engine, key)
    return judged


def _check_checkpoint(checkpoint: Path, manifest: EngineManifest) -> None:
    if not (checkpoint / TEMPLATE).is_file():
        raise BuildRefused(f"{checkpoint} has no {TEMPLATE}: put the engine's own there")
    wanted = _merged_digest(manifest.stages) or manifest.checkpoint_sha256
    if (found := checkpoint_digest(checkpoint)) != wanted:
        raise BuildRefused(
            f"--checkpoint {checkpoint} ({found[:19]}…) is not what the engine was built from ({wanted[:19]}…)"
        )


def _merged_digest(stages: tuple[Mapping[str, Any], ...]) -> str | None:
    return next((one["merged_sha256"] for one in stages if one.get("merged_sha256")), None)

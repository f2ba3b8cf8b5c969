"""The stage that judges: the engine on its own runtime where that is here, else on what PyTorch computes for it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from radserve_engines.building.folders import fingerprint_images, renew
from radserve_engines.building.plan import BuildPlan
from radserve_engines.building.reference import describe_reference, open_reference, open_unsigned
from radserve_engines.building.stages import Record, Stages
from radserve_engines.evaluation import QuestionSet
from radserve_engines.evaluation.asking import Answerer
from radserve_engines.gating import run_gate
from radserve_engines.manifest import EngineManifest

ANSWERS, REFERENCE_ANSWERS = "gate", "reference-answers"
NOT_RUN = {"status": "not run"}


def judge(plan: BuildPlan, manifest: EngineManifest, stages: Stages) -> Record:
    """The manifest's gate block."""
    request = plan.request
    simulated = is_simulated(manifest)
    inputs = {
        "sets": {one.name: one.sha256 for one in plan.gate},
        "images": fingerprint_images(plan.gate),
        "limit": request.gate_settings.limit,
        "thresholds": request.gate_settings.thresholds.to_json(),
        "engine": manifest.digest,
        "simulated": simulated,
    }

    def work(_: object) -> Record:
        if not plan.gate:
            return NOT_RUN
        stages.say(f"answers and verdict go to {request.work / ANSWERS}")
        kept = request.reference_answers
        renew_answers(request.work, manifest, plan.gate, request.gate_settings.limit, kept)
        return run_gate(
            lambda: open_engine(plan.request.out, plan.weights, manifest),
            lambda: open_reference(plan.source, manifest),
            plan.gate,
            request.work / ANSWERS,
            request.gate_settings,
            reference_out=kept or request.work / REFERENCE_ANSWERS,
            simulated=simulated,
            fresh=request.fresh,
        )

    return stages.run(
        "evaluate and gate", inputs, work, holds=lambda gate: not request.fresh and not has_errors(gate)
    )


def renew_answers(
    work: Path,
    manifest: EngineManifest,
    sets: Sequence[QuestionSet],
    limit: int | None,
    reference_answers: Path | None,
) -> None:
    """Forget answers of another engine, or to other questions; not in a folder that the user named for them."""
    asked = [*([one.name, one.sha256] for one in sets), fingerprint_images(sets)]
    folders = {ANSWERS: manifest.digest}
    if reference_answers is None:
        folders[REFERENCE_ANSWERS] = describe_reference(manifest).digest
    for name, digest in folders.items():
        renew(work / name, json.dumps({"of": digest, "sets": asked, "limit": limit}))


def has_errors(gate: Record) -> bool:
    """Whether questions ended in errors: those may pass, and are asked again by the same command."""
    return any((gate.get("errors"), gate.get("reference_errors")))


def is_simulated(manifest: EngineManifest) -> bool:
    """Whether the engine's own runtime is not here: TensorRT-LLM, or a GPU for it."""
    if manifest.target != "trtllm":
        return False
    import torch

    return find_spec("tensorrt_llm") is None or not torch.cuda.is_available()


def open_engine(folder: Path, weights: Path, manifest: EngineManifest) -> Answerer:
    """By its own runtime, or by PyTorch from its quantized `weights`."""
    if is_simulated(manifest):
        return open_unsigned(weights, replace(manifest, target="torch"), folder.name)
    return open_unsigned(folder, manifest, folder.name)

"""The stage that makes the engine's files out of the checkpoint's, for the target's runtime."""

from collections.abc import Callable
from typing import Any

from radserve_engines.building.folders import copy_checkpoint, empty, fingerprint_images
from radserve_engines.building.plan import BuildPlan
from radserve_engines.building.quantizing import render_samples
from radserve_engines.building.stages import Note, Stages
from radserve_engines.families.chat_template import FILE_NAME as TEMPLATE


def compile_engine(plan: BuildPlan, stages: Stages) -> dict[str, Any]:
    """Fills the engine's folder; returns the manifest's runtime_options."""
    request = plan.request
    inputs = {
        "target": request.target,
        "path": plan.path,
        "precision": request.precision,
        "kv": request.kv,
        "tensor_parallel": request.tensor_parallel,
        "batch": request.max_batch_size,
        "context": plan.conduct.context_length,
        "calibration": plan.describe_calibration(),
        "images": fingerprint_images(plan.calibration),
    }
    work = _WORK[request.target]

    def compile_(note: Note) -> dict[str, Any]:
        empty(request.out)
        options = work(plan, note)
        if not (request.out / TEMPLATE).is_file():
            (request.out / TEMPLATE).write_text(plan.template, "utf-8")
        return {"runtime_options": options}

    record = stages.run("compile", inputs, compile_, outputs=(request.out / TEMPLATE,))
    return dict(record["runtime_options"])


def _copy(plan: BuildPlan, note: Note) -> dict[str, Any]:
    """PyTorch runs the checkpoint as it is, and a quantized one by computing what its kernels would."""
    copy_checkpoint(plan.weights, plan.request.out, own=plan.exports_quantized)
    return {}


def _export_openvino(plan: BuildPlan, note: Note) -> dict[str, Any]:
    from radserve_engines.openvino.export import build_openvino

    request = plan.request
    samples = render_samples(plan)
    options: dict[str, Any] = build_openvino(
        plan.source,
        request.out,
        precision=request.precision,
        kv=request.kv,
        images=[image for sample in samples for image in sample.images],
        samples=samples,
        note=note,
    )
    return options


def _prepare_trtllm(plan: BuildPlan, note: Note) -> dict[str, Any]:
    from radserve_engines.trtllm import CompileSettings, compile_engine, prepare_llm_api

    settings = plan.trtllm_settings()
    if not isinstance(settings, CompileSettings):
        return dict(prepare_llm_api(plan.weights, plan.request.out, settings))
    return dict(
        compile_engine(
            plan.source,
            plan.request.out,
            plan.checkpoint.family,
            plan.precision,
            settings,
            plan.request.work / "compile",
            texts=[f"{item.question} {item.answer}" for one in plan.calibration for item in one.questions],
            note=note,
        )
    )


_WORK: dict[str, Callable[[BuildPlan, Note], dict[str, Any]]] = {
    "torch": _copy,
    "openvino": _export_openvino,
    "trtllm": _prepare_trtllm,
}

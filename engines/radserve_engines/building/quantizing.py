"""The stage that quantizes: NVIDIA ModelOpt, calibrated on images rendered by the engine's own policy."""

from typing import Any

from radserve_engines.building.folders import empty, fingerprint_images
from radserve_engines.building.plan import BuildPlan
from radserve_engines.building.stages import Note, Record, Stages
from radserve_engines.generation import Generation

MODELOPT_FILE = "hf_quant_config.json"


def quantize(plan: BuildPlan, stages: Stages) -> None:
    """Leaves the quantized checkpoint in `plan.quantized`, where the target takes one."""
    request = plan.request
    inputs: dict[str, Any] = {"precision": plan.precision.name, "kv": request.kv, "target": request.target}
    if not plan.exports_quantized:
        stages.run(
            "quantize",
            inputs,
            lambda _: {"by": "the target's compiler" if plan.precision.quantized else None},
        )
        return
    inputs |= {"calibration": plan.describe_calibration(), "images": fingerprint_images(plan.calibration)}
    stages.run(
        "quantize", inputs, lambda note: _quantize(plan, note), outputs=(plan.quantized / MODELOPT_FILE,)
    )


def render_samples(plan: BuildPlan) -> list[Generation]:
    """The calibration questions with their images, as the engine's policy shows them."""
    from radserve_engines.quantization.calibrating import choose_samples

    request = plan.request
    questions = [item for one in plan.calibration for item in one.questions]
    return choose_samples(questions, plan.conduct.policy, request.samples, request.seed)


def _quantize(plan: BuildPlan, note: Note) -> Record:
    from radserve_engines.quantization.exporting import quantize_checkpoint

    empty(plan.quantized)
    record = quantize_checkpoint(
        plan.source,
        plan.quantized,
        plan.precision,
        kv=None
        if plan.path == "compiled"
        else plan.request.kv,  # its converter has a cache format of its own
        samples=render_samples(plan),
        note=note,
    )
    return {**record, "calibration": plan.describe_calibration()}

"""A build that was checked: everything that can be known before any work."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radserve_engines.building.folders import refuse_overlap
from radserve_engines.building.policy import Conduct, choose_conduct
from radserve_engines.building.request import MOST_AT_ONCE, BuildRequest, choose_path
from radserve_engines.checkpoints import Checkpoint, read_checkpoint
from radserve_engines.errors import BuildRefused
from radserve_engines.evaluation import QuestionSet, load_sets
from radserve_engines.families import read_settings
from radserve_engines.families.chat_template import find_template
from radserve_engines.precision import Architecture, Precision, TrtllmPath, precision_named
from radserve_engines.signing import read_private_key
from radserve_engines.vqa_data import digest_file

if TYPE_CHECKING:
    from radserve_engines.trtllm import CompileSettings, LlmSettings


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """`path` is TensorRT-LLM's, None for other targets; `template` the text of the chat template."""

    request: BuildRequest
    checkpoint: Checkpoint
    precision: Precision
    path: TrtllmPath | None
    conduct: Conduct
    template: str
    calibration: tuple[QuestionSet, ...]
    gate: tuple[QuestionSet, ...]

    @property
    def source(self) -> Path:
        """The unquantized checkpoint, adapters merged, its chat template as a file."""
        return self.request.work / "checkpoint"

    @property
    def quantized(self) -> Path:
        """The quantized Hugging Face checkpoint."""
        return self.request.work / "quantized"

    @property
    def weights(self) -> Path:
        """What the target's compiler starts from."""
        return self.quantized if self.exports_quantized else self.source

    @property
    def exports_quantized(self) -> bool:
        """Whether ModelOpt quantizes; OpenVINO's weights are compressed by its own tools."""
        return self.precision.quantized and self.request.target != "openvino"

    def trtllm_settings(self) -> "LlmSettings | CompileSettings":
        """What TensorRT-LLM's path is given. Raises BuildRefused for what it cannot take."""
        from radserve_engines.trtllm import CompileSettings, LlmSettings

        request, policy, context = self.request, self.conduct.policy, self.conduct.context_length
        if self.path == "llm-api":
            return LlmSettings(
                tensor_parallel=request.tensor_parallel,
                max_batch_size=request.max_batch_size,
                max_seq_len=context,
                kv=request.kv,
            )
        family, settings = self.checkpoint.family, read_settings(request.checkpoint)
        return CompileSettings(
            image_tokens=family.image_tokens(settings, policy.height, policy.width),
            images=policy.max_images,
            image_size=(policy.height, policy.width),
            max_batch_size=request.max_batch_size,
            max_seq_len=context,
            kv=request.kv,
            tensor_parallel=request.tensor_parallel,
        )

    def describe_calibration(self) -> dict[str, Any]:
        """What value ranges are measured on, as the manifest says it."""
        return {
            "sets": [one.to_json() for one in self.calibration],
            "samples": self.request.samples,
            "seed": self.request.seed,
            "policy_sha256": self.conduct.policy.digest(),
        }


def plan_build(request: BuildRequest) -> BuildPlan:
    """Read and check. Raises EngineError with the way out."""
    _check_places(request)
    if request.target == "trtllm" and request.gpu is None:
        request = replace(request, gpu=_gpu_here())
    checkpoint = read_checkpoint(request.checkpoint)
    path = choose_path(request, checkpoint.family)
    precision = precision_named(request.precision)
    if precision.quantized and not request.calibration:
        raise BuildRefused(f"{precision.name} is calibrated on images: name question sets with --calibration")
    for adapter in request.adapters:
        if not (adapter / "adapter_config.json").is_file():
            raise BuildRefused(f"--adapter {adapter} is no adapter of PEFT: it has no adapter_config.json")
    _check_tensor_parallel(request.tensor_parallel, checkpoint)
    if request.key is not None:
        read_private_key(request.key)
    gate = load_sets(request.gate, request.gate_settings.limit)
    family = checkpoint.family
    plan = BuildPlan(
        request=request,
        checkpoint=checkpoint,
        precision=precision,
        path=path,
        conduct=choose_conduct(request.checkpoint, family, request.policy, request.context_length),
        template=find_template(request.checkpoint, family),
        calibration=_without(load_sets(request.calibration), gate),
        gate=tuple(gate),
    )
    if request.target == "trtllm":
        _check_trtllm(plan)
    return plan


def _check_places(request: BuildRequest) -> None:
    """Nothing that the build reads is emptied by it."""
    if request.out.name in ("", ".."):
        raise BuildRefused(f"--out {request.out} has no name of its own: give the engine's folder one")
    folders = {"--checkpoint": request.checkpoint}
    folders |= {f"--adapter ({place})": one for place, one in enumerate(request.adapters, 1)}
    files = {f"--calibration ({place})": one for place, one in enumerate(request.calibration, 1)}
    files |= {f"--gate ({place})": one for place, one in enumerate(request.gate, 1)}
    given = {
        "--policy": request.policy,
        "--key": request.key,
        "--reference-answers": request.reference_answers,
    }
    files |= {option: one for option, one in given.items() if one is not None}
    refuse_overlap(request.out, request.work, folders, files)


def tell_warnings(plan: BuildPlan) -> Iterator[str]:
    """What a build can do without, but its user will miss; and what it was given for nothing."""
    request = plan.request
    runs_as_it_is = not plan.precision.quantized and (request.target == "torch" or plan.path == "llm-api")
    if request.calibration and runs_as_it_is:
        yield f"--calibration is not used: {plan.precision.name} is not calibrated"
    if request.target != "trtllm":
        given = {"--gpu": request.gpu is not None, "--max-batch": request.max_batch_size != MOST_AT_ONCE}
        for option in (name for name, is_given in given.items() if is_given):
            yield f"{option} is not used: it is for --target trtllm"
    if not request.gate:
        yield "no --gate: the engine will not have been through its gate, and no server takes it"
    if request.key is None:
        yield (
            f"no --key: the engine will be unsigned, and no server takes it. Sign it with: "
            f"radserve engine sign {request.out} --key FILE"
        )
    if plan.conduct.origin.startswith("derived"):
        yield (
            f"the image policy is {plan.conduct.origin}: if the checkpoint was tuned on other windows or sizes, say so "
            "with --policy"
        )


def _gpu_here() -> Architecture | None:
    """By the compute capability of the first GPU; None without one, or with one that is in no row of the table."""
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    if (major, minor) == (8, 9):
        return "ada"
    kinds: dict[int, Architecture] = {8: "ampere", 9: "hopper", 10: "blackwell", 12: "blackwell"}
    return kinds.get(major)


def _check_trtllm(plan: BuildPlan) -> None:
    """Everything that TensorRT-LLM would refuse hours later."""
    from radserve_engines.trtllm import CompileSettings, plan_commands

    settings = plan.trtllm_settings()
    if isinstance(settings, CompileSettings):
        request = plan.request
        plan_commands(request.checkpoint, request.out, plan.checkpoint.family, plan.precision, settings)


def _check_tensor_parallel(count: int, checkpoint: Checkpoint) -> None:
    text = checkpoint.config.get("text_config") or checkpoint.config
    heads = text.get("num_attention_heads") or text.get("n_head") or text.get("num_heads")
    if count < 1:
        raise BuildRefused(f"--tensor-parallel must be at least 1, not {count}")
    if isinstance(heads, int) and heads % count:
        fits = [n for n in range(count, 0, -1) if heads % n == 0]
        raise BuildRefused(
            f"--tensor-parallel {count} does not divide the {heads} attention heads; the nearest that works: {fits[0]}"
        )


def _without(calibration: list[QuestionSet], gate: list[QuestionSet]) -> tuple[QuestionSet, ...]:
    """Calibration without the gate's images, under whatever name: fitted to them, an engine would look better."""
    judged = {digest_file(Path(image)) for image in {item.image for one in gate for item in one.questions}}
    images = {item.image for one in calibration for item in one.questions}
    shared = {image for image in images if judged and digest_file(Path(image)) in judged}
    kept = tuple(
        replace(one, questions=tuple(item for item in one.questions if item.image not in shared))
        for one in calibration
    )
    if calibration and not any(one.questions for one in kept):
        raise BuildRefused("every image of --calibration is in --gate too: nothing is left to calibrate on")
    return kept

"""`radserve engine build` and `gate`: from a checkpoint to an engine that is judged and signed off."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from radserve_client.engine_errors import told_as
from radserve_client.numbers import positive

_PRECISIONS = ("bf16", "fp8", "int8", "int8-sq", "int4-awq", "int4-gptq", "w4a8-awq", "nvfp4")
_GATE = "judged questions: the engine has to answer them as the unquantized checkpoint does"
_BUILD_EPILOG = (
    "--adapter, --calibration and --gate can be given several times; all precisions but bf16 need --calibration. Run "
    "the same command again after an interruption: what is done is not done again. Records, logs, answers and the "
    "intermediate checkpoints lie in OUT.build. Exit status: 0 when the gate passed (or passed in simulation, where "
    "TensorRT-LLM is not at hand), 3 when it failed or was not run."
)
NOT_PASSED = 3


def add_build_words(kinds: Any) -> None:
    """Add `build` and `gate` to the words that can follow `engine`."""
    _add_build(kinds.add_parser("build", help="checkpoint → gated, signed engine", epilog=_BUILD_EPILOG))
    _add_gate(kinds.add_parser("gate", help="judge an engine on the machine that serves it, and sign it"))


def _add_build(build: argparse.ArgumentParser) -> None:
    build.set_defaults(run=_build, extra="build")
    add = build.add_argument
    add("--checkpoint", type=Path, required=True, metavar="DIR", help="Hugging Face checkpoint (safetensors)")
    add(
        "--adapter",
        type=Path,
        action="append",
        default=[],
        metavar="LORA",
        help="PEFT adapter to merge; in order",
    )
    add(
        "--target",
        required=True,
        choices=("trtllm", "openvino", "torch"),
        help="what runs it: TensorRT-LLM on NVIDIA's GPUs, OpenVINO on CPUs, PyTorch anywhere",
    )
    add(
        "--precision",
        default="bf16",
        choices=_PRECISIONS,
        help="of the language model (default: bf16); docs/engines.md says which goes where",
    )
    add("--kv", choices=("fp8", "int8"), help="quantize the KV cache too; off unless asked for")
    add(
        "--calibration",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.jsonl",
        help="questions on images that value ranges are measured on",
    )
    add("--samples", type=positive, default=256, metavar="N", help="how many of them (default: 256)")
    _add_judging(build, "--gate")
    add("--out", type=Path, required=True, metavar="DIR", help="the engine's folder")
    add("--name", help="the model's name in requests (default: the folder's)")
    add("--intended-use", metavar="TEXT", help="told with every answer")
    add("--policy", type=Path, metavar="FILE.json", help="image policy that the checkpoint was tuned on")
    add("--context", type=positive, metavar="N", help="question, images and answer, in tokens")
    add(
        "--gpu",
        choices=("ampere", "ada", "hopper", "blackwell"),
        help="what it will run on (for --target trtllm; default: the GPU that is here)",
    )
    add("--tensor-parallel", type=positive, default=1, metavar="N", help="GPUs that share it (trtllm)")
    add("--max-batch", type=positive, default=64, metavar="N", help="answers at once (trtllm; default: 64)")


def _add_gate(gate: argparse.ArgumentParser) -> None:
    gate.set_defaults(run=_gate, extra="build")
    add = gate.add_argument
    add("engine", type=Path, metavar="ENGINE")
    add(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="DIR",
        help="what it was built from, adapters merged (OUT.build/checkpoint)",
    )
    _add_judging(gate, "--set", required=True)
    add("--out", type=Path, metavar="DIR", help="answers and verdict (default: ENGINE.gate)")


def _add_judging(parser: argparse.ArgumentParser, name: str, *, required: bool = False) -> None:
    add = parser.add_argument
    add(
        name,
        dest="sets",
        type=Path,
        action="append",
        default=None if required else [],
        required=required,
        metavar="FILE.jsonl",
        help=_GATE,
    )
    add("--gate-limit", type=positive, metavar="N", help="the first N questions of each set only")
    add("--thresholds", type=Path, metavar="FILE.json", help="what may be lost, where not the defaults")
    add(
        "--reference-answers",
        type=Path,
        metavar="DIR",
        help="where the checkpoint's answers are kept, for several engines of it",
    )
    add("--fresh", action="store_true", help="forget the gate's answers, the checkpoint's too, and ask again")
    add("--key", type=Path, metavar="FILE", help="private key to sign with: radserve engine key FILE")


def _build(given: argparse.Namespace) -> int:
    from radserve_engines.building import BuildRequest, build_engine

    with told_as():
        request = BuildRequest(
            checkpoint=given.checkpoint,
            out=given.out,
            target=given.target,
            precision=given.precision,
            adapters=tuple(given.adapter),
            kv=given.kv,
            calibration=tuple(given.calibration),
            gate=tuple(given.sets),
            gate_settings=_gate_settings(given),
            reference_answers=given.reference_answers,
            fresh=given.fresh,
            key=given.key,
            name=given.name,
            intended_use=given.intended_use,
            policy=given.policy,
            gpu=given.gpu,
            tensor_parallel=given.tensor_parallel,
            max_batch_size=given.max_batch,
            context_length=given.context,
            samples=given.samples,
        )
        manifest = build_engine(request)
    return _tell(manifest, given.out)


def _gate(given: argparse.Namespace) -> int:
    from radserve_engines.building.regating import GateRequest, gate_engine

    with told_as():
        request = GateRequest(
            engine=given.engine,
            checkpoint=given.checkpoint,
            sets=tuple(given.sets),
            settings=_gate_settings(given),
            key=given.key,
            out=given.out,
            reference_answers=given.reference_answers,
            fresh=given.fresh,
        )
        manifest = gate_engine(request)
    return _tell(manifest, given.engine)


def _gate_settings(given: argparse.Namespace) -> Any:
    from radserve_engines.errors import BuildRefused
    from radserve_engines.gating import GateSettings, Thresholds

    thresholds = Thresholds()
    if given.thresholds:
        try:
            thresholds = Thresholds.from_json(json.loads(given.thresholds.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise BuildRefused(f"--thresholds {given.thresholds}: {error}") from error
    return GateSettings(thresholds=thresholds, limit=given.gate_limit)


def _tell(manifest: Any, folder: Path) -> int:
    from radserve_engines.building.tables import aligned_table, engine_rows
    from radserve_engines.manifest import SIGNATURE_NAME

    print(aligned_table(engine_rows([(folder, manifest)])))
    print(f"\n{folder}: {manifest.digest}")
    for reason in manifest.gate.get("reasons", ()):
        print(f"  - {reason}", file=sys.stderr)
    if not (folder / SIGNATURE_NAME).is_file():
        print(f"not signed, so no server takes it: radserve engine sign {folder} --key FILE", file=sys.stderr)
    return 0 if manifest.gate["status"] in ("passed", "simulated") else NOT_PASSED

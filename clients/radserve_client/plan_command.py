"""`radserve engine plan …`: does a model fit this GPU, how many questions at once, how fast at best."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.numbers import image_size, positive

_PRECISIONS = ("bf16", "fp8", "int8", "int4-awq")


def add_plan_word(kinds: Any) -> None:
    """Add `plan` to what can follow `radserve engine`."""
    plan = kinds.add_parser(
        "plan", help="memory and speed of a model on GPUs, before anything is bought or built"
    )
    plan.set_defaults(run=_plan)
    add = plan.add_argument
    add("model", metavar="MODEL", help="checkpoint folder, config.json, or a name such as qwen2.5-vl-7b")
    add("--gpu", dest="gpus", action="append", metavar="NAME", help="repeatable; default: all known")
    add(
        "--precision",
        dest="precisions",
        action="append",
        metavar="NAME",
        help=f"repeatable; default: {', '.join(_PRECISIONS)}",
    )
    add(
        "--tensor-parallel",
        type=positive,
        metavar="N",
        help="GPUs that share the model (default: the fewest that hold it)",
    )
    add("--json", action="store_true", help="unrounded, for programs")
    add(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="memory and tokens/s as a picture (needs radserve[eval])",
    )
    _add_question(plan)


def _add_question(plan: argparse.ArgumentParser) -> None:
    add = plan.add_argument
    add(
        "--kv",
        choices=("bf16", "fp8", "int8"),
        default="bf16",
        help="precision of the KV cache (default: bf16)",
    )
    add("--batch", type=positive, default=8, metavar="N", help="questions at once (default: 8)")
    add(
        "--context",
        type=positive,
        metavar="N",
        help="tokens of prompt and answer (default: images, 76 and answer)",
    )
    add(
        "--image",
        type=image_size,
        default=(896, 896),
        metavar="WxH",
        help="pixels of an image (default: 896x896)",
    )
    add("--images", type=int, default=1, metavar="N", help="images of a question (default: 1)")
    add("--answer-tokens", type=positive, default=128, metavar="N", help="default: 128")


def _plan(given: argparse.Namespace) -> None:
    from radserve_engines.planning.fitting import Plan, make_plan
    from radserve_engines.planning.gpus import GPUS, gpu_named
    from radserve_engines.planning.model_size import size_of
    from radserve_engines.planning.question import question_for
    from radserve_engines.planning.tables import json_report, text_report
    from radserve_engines.precision import precision_named

    with told_as():
        size = size_of(given.model)
        question = question_for(
            size,
            image=given.image,
            images=given.images,
            answer=given.answer_tokens,
            context=given.context,
            batch=given.batch,
            kv=given.kv,
        )
        gpus = [gpu_named(name) for name in given.gpus or GPUS]
        precisions = [precision_named(name) for name in given.precisions or _PRECISIONS]
        plan: Plan = make_plan(size, question, gpus, precisions, given.tensor_parallel)
    if given.plot:
        _draw(plan, given.plot)
    print(json.dumps(json_report(plan), indent=2) if given.json else text_report(plan))


def _draw(plan: Any, path: Path) -> None:
    from radserve_engines.planning.pictures import draw_plan

    try:
        draw_plan(plan, path)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise RadserveError("--plot needs matplotlib: pip install 'radserve[eval]'") from error
    except (OSError, ValueError) as error:
        raise RadserveError(f"--plot {path}: {error}") from error
    print(f"drawn: {path}", file=sys.stderr)

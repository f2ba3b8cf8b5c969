"""A plan as text for people and as JSON for programs."""

from dataclasses import asdict
from typing import Any

from radserve_engines.planning.fitting import NODE, Plan, Row
from radserve_engines.planning.memory import GIB, KV_SHARE
from radserve_engines.planning.roofline import EXPECTED, SATURATED

_HEAD = ("GPU", "precision", "GPUs", "weights", "KV", "other", "free", "has", "most", "TTFT ms")
_FIGURES = len(_HEAD) + 3


def text_report(plan: Plan) -> str:
    """The whole answer: the model, the question, one row a GPU and precision, what was assumed, and training."""
    return "\n\n".join(
        "\n".join(part) for part in (_model(plan), _rows(plan), _assumptions(plan), _training(plan)) if part
    )


def json_report(plan: Plan) -> dict[str, Any]:
    """The same, unrounded: bytes, seconds, tokens and questions a second."""
    size = plan.size
    return {
        "model": {
            "name": size.name,
            "family": size.family,
            "counted": size.counted,
            "parameters": size.parameters,
            "parts": size.parts,
            "kv_bytes_per_token": size.kv_bytes(plan.question.kv_bytes),
            "notes": list(size.notes),
        },
        "question": {
            **asdict(plan.question),
            "prompt": plan.question.prompt,
            "context": plan.question.context,
        },
        "efficiency": {"floor": 1.0, "compute": EXPECTED.compute, "bandwidth": EXPECTED.bandwidth},
        "rows": [_row_json(row) for row in plan.rows],
        "training": [
            {"gpus": one.gpus, **{f"zero_{stage}": each for stage, each in enumerate(one.stages)}}
            for one in plan.training
        ],
    }


def _row_json(row: Row) -> dict[str, Any]:
    memory, speeds = row.memory, {"floor": row.floor, "expected": row.expected}
    return {
        "gpu": row.gpu.name,
        "precision": row.precision.name,
        "tensor_parallel": row.tensor_parallel,
        "fits": row.reason is None,
        "reason": row.reason,
        "memory": {**asdict(memory), "reserve": memory.reserve, "spare": memory.spare} if memory else None,
        "largest_batch": row.most,
        "compute_bound_from": row.crossover,
        **{name: asdict(speed) if speed else None for name, speed in speeds.items()},
    }


def _model(plan: Plan) -> list[str]:
    size, question = plan.size, plan.question
    named = [f"{name} {billions(count)}" for name, count in size.parts.items() if count]
    head = ", head tied to the embeddings" if size.language.tied else ""
    lines = [
        f"{size.name}: {billions(size.parameters)} parameters ({', '.join(named)}{head}), by {size.counted}"
    ]
    lines += [f"  {note}" for note in size.notes]
    seen = ""
    if question.seen:
        seen = (
            f"{question.images} × {question.image_tokens:,} tokens of image "
            f"({question.width} × {question.height}: {question.seen.patches:,} patches), "
        )
    lines.append(
        f"a question: {seen}{question.text:,} of text, {question.answer:,} of answer; {question.batch} at once"
    )
    lines.append(
        f"KV cache: {size.kv_bytes(question.kv_bytes):,} bytes a token in {question.kv}, "
        f"{question.context * size.kv_bytes(question.kv_bytes) / 1024**2:,.0f} MiB a question"
    )
    return lines


def _rows(plan: Plan) -> list[str]:
    batch = plan.question.batch
    head = (*_HEAD, "tok/s, one", f"tok/s, {batch}", "questions/s")
    table = [head, *(_cells(row) for row in plan.rows)]
    widths = [max(len(line[at]) for line in table if len(line) == _FIGURES) for at in range(_FIGURES)]
    widths[:2] = [max(len(line[at]) for line in table) for at in range(2)]
    memory_at, speed_at = (sum(widths[:at]) + 2 * at for at in (3, 9))
    lines = [" " * memory_at + f"{'GiB on each GPU':<{speed_at - memory_at}}floor → to expect"]
    previous = ""
    for cells in table:
        name = cells[0] if cells[0] != previous else ""
        left = f"{name:<{widths[0]}}  {cells[1]:<{widths[1]}}"
        if len(cells) == 3:
            lines.append(f"{left}  {cells[2]}")
        else:
            right = (f"{cell:>{width}}" for cell, width in zip(cells[2:], widths[2:], strict=True))
            lines.append("  ".join((left, *right)))
        previous = cells[0]
    return lines


def _cells(row: Row) -> tuple[str, ...]:
    """All figures, or GPU, precision and the reason why there are none."""
    memory, floor, expected = row.memory, row.floor, row.expected
    if memory is None or floor is None or expected is None:
        return row.gpu.name, row.precision.name, row.reason or ""
    return (
        row.gpu.name,
        row.precision.name,
        str(row.tensor_parallel),
        f"{memory.weights / GIB:.1f}",
        f"{memory.kv / GIB:.1f}",
        f"{(memory.activations + memory.workspace + memory.reserve) / GIB:.1f}",
        f"{memory.spare / GIB:.1f}",
        f"{memory.capacity / GIB:.1f}",
        f"{row.most:,}",
        _pair(floor.ttft * 1e3, expected.ttft * 1e3),
        _pair(floor.one, expected.one),
        _pair(floor.batch, expected.batch),
        _pair(floor.requests, expected.requests),
    )


def _pair(floor: float, expected: float) -> str:
    digits = 1 if min(floor, expected) < 10 else 0
    return f"{floor:,.{digits}f} → {expected:,.{digits}f}"


def _assumptions(plan: Plan) -> list[str]:
    tenth, arithmetic, bandwidth = (
        f"{100 * x:.0f} %" for x in (1 - KV_SHARE, EXPECTED.compute, EXPECTED.bandwidth)
    )
    lines = [
        f"GPUs: the fewest of 1, 2, 4, {NODE} in one node (tensor parallel) that hold it; vision side, norms,",
        "embeddings and head stay bf16. other: activations, CUDA, graphs, and the free memory that does not",
        f"become KV cache ({tenth}). most: answers in flight that fit. TTFT: of an idle engine. questions/s:",
        f"with {SATURATED} in flight, or as many as fit. floor: 100 % of the data sheet; to expect:",
        f"{arithmetic} of its arithmetic, {bandwidth} of its bandwidth.",
    ]
    used = {row.precision.name: row.precision for row in plan.rows if row.reason is None}
    compiled = [name for name, one in used.items() if one.trtllm_paths == {"compiled"}]
    if compiled:
        lines.append(f"{', '.join(compiled)}: compiled TensorRT engines only, which not every family has.")
    if plan.question.kv == "int8":
        lines.append("An INT8 KV cache: compiled TensorRT engines and OpenVINO only.")
    if plan.size.language.sliding_window:
        lines.append(
            "The whole context is kept for layers with a sliding window too (max_attention_window is not set)."
        )
    return lines


def _training(plan: Plan) -> list[str]:
    total = 16 * plan.size.parameters / GIB
    amount, why = f"{total:,.1f}", ""
    if total > 10:
        amount, why = f"{total:,.0f}", ", which is why such a checkpoint comes sharded"
    lines = [
        "Training it in full takes 16 bytes a parameter (weights 2, gradients 2, fp32 master 4, Adam 8):",
        f"{amount} GiB before activations{why}. GiB on each GPU:",
        f"{'':10}{'repeated':>10}{'ZeRO-1':>10}{'ZeRO-2':>10}{'ZeRO-3':>10}",
    ]
    for one in plan.training:
        lines.append(f"{one.gpus:>3} GPUs  " + "".join(f"{each / GIB:>10,.1f}" for each in one.stages))
    return lines


def billions(count: int) -> str:
    """A count of parameters in words."""
    return f"{count / 1e9:.2f} B" if count >= 1e8 else f"{count / 1e6:.2f} M"

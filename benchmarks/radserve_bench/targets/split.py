"""Where a request's time went, in `record.STAGES`, from what a server tells of itself."""

from collections.abc import Mapping
from typing import Any

_TOLD = {
    "body_ms": "upload",
    "fetch_ms": "fetch",
    "image_wait_ms": "wait",
    "image_decode_ms": "image",
    "image_render_ms": "render",
    "admission_ms": "admission",
    "queue_ms": "queue",
    "vision_ms": "vision",
    "prefill_ms": "prefill",
    "decode_ms": "decode",
}

_MOST = 1e15  # of any count or time; neither NaN nor Infinity is less

Split = dict[str, float]


def read_timings(timings: Any) -> Split:
    """Milliseconds by stage; a server that does not tell decoding from rendering has both as "render"."""
    if not isinstance(timings, Mapping):
        return {}
    told = dict(timings)
    if "image_decode_ms" not in told and "decode_render_ms" in told:
        told["image_render_ms"] = told["decode_render_ms"]
    return {stage: max(float(told[name]), 0.0) for name, stage in _TOLD.items() if is_number(told.get(name))}


def is_number(value: Any) -> bool:
    """Whether JSON gave a number that can be reckoned with; Python reads NaN and Infinity as well."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


def read_upload(timings: Any, took_ms: float) -> Split:
    """Of one upload that took so long by the client's clock: what was not spent inside the server is the upload."""
    inside = read_timings(timings)
    return add({"upload": max(took_ms - sum(inside.values()), 0.0)}, inside)


def add(one: Split, other: Split) -> Split:
    """Stage by stage."""
    return {stage: one.get(stage, 0.0) + other.get(stage, 0.0) for stage in {**one, **other}}


def within(split: Split, total_ms: float) -> Split:
    """The same, made smaller where two clocks make it more than the whole."""
    told = sum(split.values())
    return split if told <= total_ms else {stage: ms * total_ms / told for stage, ms in split.items()}

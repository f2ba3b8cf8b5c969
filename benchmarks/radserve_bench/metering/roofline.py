"""How near an engine comes to its machine's limits: achieved FLOP/s under the roof of bandwidth and arithmetic.

    intensity  = FLOP / bytes read                       (`Work`)
    limit      = min(peak FLOP/s, bandwidth × intensity)
    achieved   = FLOP / measured seconds
    share      = achieved / limit, that is, the least time it could take over the time it took

Bytes are those that must be read at least. A share above 1 means that a limit was not the machine's: a small model
stays in the caches, and an engine that multiplies in int8 has more arithmetic than fp32.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from radserve_bench.metering.machine import Limits
from radserve_bench.metering.work import Stage, Work
from radserve_engines.planning.gpus import GPUS
from radserve_engines.precision import Precision

# Cards of the same name that are built otherwise than the data sheet's SXM module, or are shared.
_OTHERS = ("PCIe", "NVL", "MIG")


@dataclass(frozen=True, slots=True)
class RooflinePoint:
    """One stage as it was measured. FLOP a byte, FLOP/s, FLOP/s, and the share of the limit, 1 at best."""

    name: str
    intensity_flop_per_byte: float
    achieved_flops: float
    limit_flops: float
    share: float


def roofline_points(
    work: Work,
    limits: Limits,
    *,
    decode: Iterable[tuple[int, float]] = (),
    vision_s: float | None = None,
    prefill_s: float | None = None,
) -> list[RooflinePoint]:
    """`decode` holds (answers in flight, tokens a second of all of them while decoding: their number over ITL).

    `vision_s` and `prefill_s` are those of a question asked alone; a prefill without `vision_s` is taken to hold the
    images' encoding too.
    """
    points = []
    vision, prefill = work.vision(), work.prefill()
    if vision is not None and vision_s is not None:
        points.append(point("vision", vision, vision_s, limits))
    elif vision is not None and prefill_s is not None:
        prefill = Stage(vision.flop + prefill.flop, vision.read + prefill.read)
    if prefill_s is not None:
        points.append(point("prefill", prefill, prefill_s, limits))
    for batch, tokens_per_s in decode:
        points.append(point(f"decode, {batch} at once", work.decode(batch), batch / tokens_per_s, limits))
    return points


def decoded_together(spans: Iterable[tuple[float, float]]) -> float:
    """How many answers were under way at once, as each saw it: 1 where they come one by one, whoever waits in line.

    A span is one answer's from its first token to its end. The mean over time of n(t), weighted by n(t).
    """
    edges = sorted((at, change) for span in spans for at, change in zip(span, (1, -1), strict=True))
    seen = spent = 0.0
    under_way, last = 0, 0.0
    for at, change in edges:
        seen += (at - last) * under_way**2
        spent += (at - last) * under_way
        under_way, last = under_way + change, at
    return seen / spent if spent else 1.0


def point(name: str, stage: Stage, seconds: float, limits: Limits) -> RooflinePoint:
    """One stage that took `seconds`."""
    limit = min(limits.flops, limits.bandwidth * stage.intensity)
    achieved = stage.flop / seconds
    return RooflinePoint(name, stage.intensity, achieved, limit, achieved / limit)


def limits_of_gpu(name: str, precision: Precision) -> Limits | None:
    """By the name that NVML gives, as "NVIDIA H100 80GB HBM3"; None for a card that is not in the planner's table."""
    words = name.replace("-", " ").split()
    if any(other in words for other in _OTHERS):
        return None
    for gpu in GPUS.values():
        family, _, size = gpu.name.partition("-")
        if family in words and (not size or f"{size}GB" in words):
            return Limits(gpu.bandwidth, gpu.peak(precision), f"{precision.name}, {gpu.source}")
    return None

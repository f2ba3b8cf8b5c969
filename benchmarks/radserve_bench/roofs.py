"""How near each target comes to the limits of its machine, where its engine or checkpoint is at hand."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radserve_bench.driving.participants import Participant
from radserve_bench.metering.gpu import find_gpus
from radserve_bench.metering.machine import Limits, measure_limits
from radserve_bench.metering.roofline import decoded_together, limits_of_gpu, roofline_points
from radserve_bench.metering.work import Work, stored_as, work_of
from radserve_bench.record import Description, Point, Record
from radserve_engines.errors import PlanError
from radserve_engines.manifest import EngineManifest, read_manifest
from radserve_engines.precision import PRECISIONS

_SUBJECT = "ct-slice"
"""One image and one question: what `radserve_bench.metering.work` reckons with."""


def find_roofs(participants: Sequence[Participant], points: Iterable[Point]) -> list[dict[str, Any]]:
    """One entry a target with a folder that was asked about CT slices under closed load: its limits, and its stages."""
    kept = [point for point in points if point.load.kind == "closed" and point.workload == _SUBJECT]
    entries = []
    measured: Limits | None = None
    for one in participants:
        mine = [point for point in kept if point.target == one.target.name]
        alone = [
            record for point in mine if point.load.amount == 1 for record in point.records if record.answered
        ]
        if one.folder is None or not alone:
            continue
        manifest = read_manifest(one.folder)
        limits = _of_gpu(manifest, one.description)
        if limits is None:
            limits = measured = measured or measure_limits()
        try:
            work = _work(one, one.folder, manifest, alone)
        except PlanError:  # the planner cannot reckon with every model; its other figures stand all the same
            continue
        found = roofline_points(work, limits, decode=_decode(mine), **_alone(alone))
        about = {"target": one.target.name, "limits": asdict(limits)}
        entries.append({**about, "points": [asdict(point) for point in found]})
    return entries


def _of_gpu(manifest: EngineManifest, description: Description) -> Limits | None:
    """By data sheet, for what runs on a card; None for what runs on the processor, and for a card without a sheet."""
    if manifest.target == "torch":
        return limits_of_gpu(str(description.details.get("device")), PRECISIONS["bf16"])
    gpus = find_gpus().names
    if not gpus or manifest.target == "openvino":
        return None
    return limits_of_gpu(gpus[0], PRECISIONS[manifest.precision])


def _work(one: Participant, folder: Path, manifest: EngineManifest, alone: Sequence[Record]) -> Work:
    policy, dtype = manifest.image_policy, one.description.details.get("precision")
    return work_of(
        folder,
        stored_as(manifest, dtype if manifest.target == "torch" else None),
        answer=round(statistics.median(record.tokens for record in alone)),
        prompt=round(statistics.median(record.prompt_tokens for record in alone)),
        image=(policy.height, policy.width),
    )


def _decode(points: Sequence[Point]) -> list[tuple[int, float]]:
    """Answers decoded together (not those that wait in line), and tokens a second of all of them meanwhile."""
    times: dict[int, list[float]] = defaultdict(list)
    for point in points:
        whole = [record for record in point.records if record.answered and record.itl_s]
        spans = [(one.first, one.end) for one in whole if one.first is not None and one.end is not None]
        times[round(decoded_together(spans))] += [one.itl_s for one in whole if one.itl_s]
    return [(count, count / statistics.median(found)) for count, found in sorted(times.items()) if found]


def _alone(records: Sequence[Record]) -> dict[str, float | None]:
    """Median seconds of the vision encoder and of the prefill, None where the target does not tell."""
    return {f"{stage}_s": _median_s(records, stage) for stage in ("vision", "prefill")}


def _median_s(records: Sequence[Record], stage: str) -> float | None:
    found = [record.split[stage] for record in records if record.split.get(stage)]
    return statistics.median(found) / 1e3 if found else None

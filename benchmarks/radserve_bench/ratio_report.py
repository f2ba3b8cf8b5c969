"""From the rounds of `radserve_bench.ratios` to its JSON document and its table."""

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from radserve_engines.manifest import FILE_NAME, read_manifest

CONCURRENT = 8
_VERSIONS = ("radserve", "torch", "transformers", "openvino-genai", "nvidia-pytriton")


@dataclass(slots=True)
class BaselineRounds:
    """What each round measured of `generate`: seconds to the first token, tokens a second."""

    ttft: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


@dataclass(slots=True)
class EngineRounds:
    """The same of a server: `rate` with eight at once, `single_rate` alone; `added`, for each pair, seconds."""

    ttft: list[float] = field(default_factory=list)
    triton_ttft: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    single_rate: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Compared:
    """One engine's folder, digest and rounds."""

    folder: Path
    digest: str
    found: EngineRounds


def build_document(
    baseline: BaselineRounds, engines: Sequence[Compared], checkpoint: Path, rounds: int, tokens: int
) -> dict[str, Any]:
    """All that was measured, as JSON values; ratios pair the figures of one round."""
    return {
        "baseline": {
            "TTFT, ms": _spread([1e3 * x for x in baseline.ttft]),
            "tokens/s": _spread(baseline.rate),
            "weights, MB": _megabytes(checkpoint, (".safetensors", ".bin")),
        },
        "engines": {_label(one, engines): _describe(one, baseline) for one in engines},
        "rounds": rounds,
        "tokens an answer": tokens,
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0))},
        "versions": {name: version(name) for name in _VERSIONS},
    }


def engine_rows(found: EngineRounds, baseline: BaselineRounds) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure of one engine."""
    return {
        "baseline TTFT / server TTFT": _spread(_over(baseline.ttft, found.ttft)),
        f"server tokens/s at {CONCURRENT} / baseline tokens/s": _spread(_over(found.rate, baseline.rate)),
        "server tokens/s, one stream / baseline tokens/s": _spread(_over(found.single_rate, baseline.rate)),
        "gateway adds to TTFT, ms": _spread([1e3 * x for x in found.added]),
        "server TTFT, ms": _spread([1e3 * x for x in found.ttft]),
        "direct Triton TTFT, ms": _spread([1e3 * x for x in found.triton_ttft]),
        f"server tokens/s at {CONCURRENT}": _spread(found.rate),
        "server tokens/s, one stream": _spread(found.single_rate),
    }


def markdown(document: Mapping[str, Any]) -> str:
    """A column an engine; medians, with the least and the most in brackets."""
    engines = document["engines"]
    names = [f"{name} ({one['precision']}, KV {one['KV cache']})" for name, one in engines.items()]
    lines = [_row("", names), _row("---", ["---"] * len(names))]
    for row in next(iter(engines.values()))["figures"]:
        lines.append(_row(row, [_told(one["figures"][row]) for one in engines.values()]))
    lines.append(_row("weights, MB", [f"{one['weights, MB']:g}" for one in engines.values()]))
    baseline = document["baseline"]
    for row in ("TTFT, ms", "tokens/s"):
        lines.append(_row(f"baseline {row}", [_told(baseline[row])] * len(names)))
    lines.append(_row("baseline weights, MB", [f"{baseline['weights, MB']:g}"] * len(names)))
    return "\n".join(lines)


def _describe(one: Compared, baseline: BaselineRounds) -> dict[str, Any]:
    manifest = read_manifest(one.folder)
    return {
        "precision": manifest.precision,
        "KV cache": manifest.runtime_options.get("KV_CACHE_PRECISION", "runtime's default"),
        "gate": manifest.gate.get("status"),
        "digest": one.digest,
        "weights, MB": _megabytes(one.folder, (".bin", ".safetensors")),
        "figures": engine_rows(one.found, baseline),
    }


def _label(one: Compared, engines: Sequence[Compared]) -> str:
    """The folder's own name; with its parent's where two are called the same."""
    folder = one.folder.resolve()
    alike = [other for other in engines if other.folder.resolve().name == folder.name]
    return folder.name if len(alike) == 1 else f"{folder.parent.name}/{folder.name}"


def _over(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(upper, lower, strict=True)]


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def _megabytes(folder: Path, suffixes: tuple[str, ...]) -> float:
    files = (path for path in folder.iterdir() if path.suffix in suffixes and path.name != FILE_NAME)
    return round(sum(path.stat().st_size for path in files) / 1e6, 2)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |"


def _told(spread: Mapping[str, float]) -> str:
    return f"{spread['median']:.4g} ({spread['min']:.4g}–{spread['max']:.4g})"


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
        )

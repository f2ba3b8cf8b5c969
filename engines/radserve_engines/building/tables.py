"""Engines side by side: precision, size, what the gate found, and whether they are signed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from radserve_engines.gating.thresholds import Thresholds
from radserve_engines.manifest import EngineManifest
from radserve_engines.signing import read_signature

HEADS = (
    "engine",
    "target",
    "precision",
    "MB",
    "accuracy",
    "against checkpoint",
    "flips",
    "swapped",
    "blank",
    "gate",
)
NOTE = (
    "Accuracy and flips in per cent, the difference in points, with 95 % intervals (cluster bootstrap by image); "
    "swapped and blank: answers that change with another image, and with none, as a share of the unquantized "
    "checkpoint's."
)


Engine = tuple[Path, EngineManifest]


def engine_rows(engines: Sequence[Engine]) -> list[tuple[str, ...]]:
    """One row an engine, under `HEADS`, the checkpoint that they were held against first."""
    rows = [_row(folder, manifest) for folder, manifest in engines]
    return [*_reference_rows([manifest.gate for _, manifest in engines]), *rows]


def tell_engine(engine: Engine) -> list[str]:
    """What an engine is, in lines. Raises SignatureError for a signature that cannot be read."""
    folder, manifest = engine
    signature = read_signature(folder)
    gate = manifest.gate
    signed = f"by key {signature.key[:16]}…; a server checks it" if signature else "none: no server takes it"
    lines = [
        f"{manifest.name}: {manifest.family}, {manifest.precision}, for {manifest.target}",
        f"  digest      {manifest.digest}",
        f"  checkpoint  {manifest.checkpoint_sha256}"
        + "".join(f"\n  adapter     {one}" for one in manifest.adapters),
        f"  files       {len(manifest.files)}, {_megabytes(folder, manifest):.1f} MB, as the manifest says",
        f"  signature   {signed}",
        f"  images      {manifest.image_policy.width} × {manifest.image_policy.height}, {manifest.image_policy.fit}",
        f"  use         {manifest.intended_use}",
        f"  gate        {gate.get('status')}",
    ]
    changed = [f"    - {name} {value:g} instead of {usual:g}" for name, value, usual in _other_bars(gate)]
    return [*lines, *(f"    - {reason}" for reason in gate.get("reasons", ())), *changed]


def _other_bars(gate: Mapping[str, Any]) -> Iterator[tuple[str, float, float]]:
    """Thresholds that are not the defaults, so that nobody takes a gate left open for the usual one."""
    usual = Thresholds().to_json()
    for name, value in gate.get("thresholds", {}).items():
        if name in usual and value != usual[name]:
            yield name, value, usual[name]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under `HEADS` as Markdown, with the note on what they mean."""
    lines = [HEADS, ["---"] * len(HEADS), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{NOTE}\n"


def aligned_table(rows: Sequence[Sequence[str]]) -> str:
    """The same for a terminal."""
    lines = [HEADS, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def _reference_rows(gates: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """The unquantized checkpoint's own accuracy, once for each that the engines were held against."""
    rows = dict.fromkeys(_estimate(gate["overall"]["other_accuracy"]) for gate in gates if "overall" in gate)
    return [("unquantized checkpoint", "torch", "bf16", "", row, "", "", "", "", "") for row in rows]


def _row(folder: Path, manifest: EngineManifest) -> tuple[str, ...]:
    gate = manifest.gate
    size = f"{_megabytes(folder, manifest):.1f}"
    first = (manifest.name, manifest.target, manifest.precision, size)
    if "overall" not in gate:
        return (*first, "", "", "", "", "", str(gate.get("status")))
    overall = gate["overall"]
    shares = [gate["sensitivity"].get(name, {}).get("share") for name in ("swapped", "blank")]
    seen = ["" if share is None else f"{100 * share:.0f} %" for share in shares]
    figures = (
        _estimate(overall["accuracy"]),
        _estimate(overall["difference"]),
        _estimate(overall["flipped"]),
    )
    return (*first, *figures, *seen, str(gate["status"]))


def _megabytes(folder: Path, manifest: EngineManifest) -> float:
    return sum((folder / name).stat().st_size for name in manifest.files) / 1e6


def _estimate(one: Mapping[str, float | None] | None) -> str:
    if one is None:
        return ""
    if one["low"] is None or one["high"] is None:
        return f"{one['value']:.1f}"
    return f"{one['value']:.1f} ({one['low']:.1f}…{one['high']:.1f})"

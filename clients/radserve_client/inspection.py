"""`radserve inspect`: what a file or a folder is, without a server."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radserve_client.engine_errors import told_as

if TYPE_CHECKING:
    from radserve_imaging import ImagePolicy, Inspection, Sorted


def inspect_path(path: Path, engine: Path | None, as_json: bool) -> int:
    """Print what is known; the status is 1 where nothing can be shown. Raises RadserveError."""
    policy = _policy(engine)
    if path.is_dir():
        return _inspect_folder(path, as_json)
    from radserve_imaging import inspect

    found = inspect(path.read_bytes(), policy)
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
    else:
        _tell(path, found)
    return 0 if found.error is None else 1


def _policy(engine: Path | None) -> "ImagePolicy":
    from radserve_engines.assets import demo_engine
    from radserve_engines.manifest import read_manifest

    with told_as():
        return read_manifest(engine or demo_engine()).image_policy


def _tell(path: Path, found: "Inspection") -> None:
    print(path.name)
    for heading, section in found.sections.items():
        lines = {name: _plain(value) for name, value in section.items() if value is not None}
        if lines:
            print(heading)
            width = max(map(len, lines))
            print("\n".join(f"  {name:<{width}}  {value}" for name, value in lines.items()))
    for warning in found.warnings:
        print(f"! {warning}")
    if found.error is not None:
        print(f"!! cannot be shown ({found.error.code}): {found.error}")


def _as_json(found: "Inspection") -> Mapping[str, Any]:
    error = found.error and {"code": found.error.code, "message": str(found.error), "tag": found.error.tag}
    return {**found.sections, "warnings": list(found.warnings), "error": error}


def _inspect_folder(folder: Path, as_json: bool) -> int:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = _sort(files)
    stacks: list[dict[str, Any]] = []
    for stack in found.stacks:
        order = [
            files[plane.file].name if plane.frames == 1 else f"{files[plane.file].name} frame {plane.frame}"
            for plane in stack.planes
        ]
        positions = stack.positions and [round(position, 3) for position in stack.positions]
        stacks.append(
            {
                "description": stack.describe(),
                "warnings": list(stack.warnings),
                "positions_mm": positions,
                "files": order,
            }
        )
    left_out = [{"file": files[item.plane.file].name, "reason": item.reason} for item in found.left_out]
    if as_json:
        print(json.dumps({"series": stacks, "left_out": left_out}, ensure_ascii=False, indent=2))
    else:
        _tell_stacks(folder, stacks, left_out)
    return 0 if stacks else 1


def _tell_stacks(folder: Path, stacks: list[dict[str, Any]], left_out: list[dict[str, str]]) -> None:
    print(folder)
    for number, stack in enumerate(stacks, 1):
        print(f"series {number}  {stack['description']}")
        if stack["positions_mm"]:
            print(f"  along the normal from {stack['positions_mm'][0]} to {stack['positions_mm'][-1]} mm")
        print(f"  first {stack['files'][0]}, last {stack['files'][-1]}")
        for warning in stack["warnings"]:
            print(f"  ! {warning}")
    for item in left_out:
        print(f"left out  {item['file']}: {item['reason']}")


def _sort(files: list[Path]) -> "Sorted":
    from radserve_imaging import ImagingError, Limits, list_planes, sniff, sort_planes

    planes = []
    for number, file in enumerate(files):
        data = file.read_bytes()
        try:
            if sniff(data) == "application/dicom":
                found = list_planes(data, Limits(), number)
                if not found[0].rows:
                    print(f"{file.name} is left out: it holds no image", file=sys.stderr)
                elif len(found) > 1:
                    print(
                        f"{file.name} is left out: an object of {len(found)} frames of its own",
                        file=sys.stderr,
                    )
                else:
                    planes += found
        except ImagingError as error:
            print(f"{file.name} is left out: {error}", file=sys.stderr)
    return sort_planes(planes)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " \\ ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
    return str(value)

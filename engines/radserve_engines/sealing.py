"""Write the manifest of an engine folder: `python -m radserve_engines.sealing FOLDER --target openvino …`."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radserve_engines.generation import Sampling
from radserve_engines.manifest import EngineManifest, digest_files, write_manifest
from radserve_engines.provenance import list_versions
from radserve_imaging import ImagePolicy, Window

SOFT_TISSUE = Window(40, 400)


def demo_policy() -> ImagePolicy:
    """What the demo checkpoint was trained on: 224 × 224, letterboxed; CT in the file's window, else soft tissue."""
    return ImagePolicy(width=224, height=224, fit="pad", ct_window=SOFT_TISSUE, ct_prefer="file")


def checkpoint_digest(folder: Path) -> str:
    """One digest over all files of a checkpoint folder but its manifest."""
    listing = json.dumps(digest_files(folder), sort_keys=True)
    return f"sha256:{hashlib.sha256(listing.encode()).hexdigest()}"


def seal(
    folder: Path,
    checkpoint: Path,
    *,
    name: str,
    target: str,
    precision: str,
    intended_use: str,
    runtime_options: Mapping[str, Any],
) -> EngineManifest:
    """Record the folder's files and how the engine wants to be asked; writes and returns the manifest."""
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    manifest = EngineManifest(
        name=name,
        target=target,
        precision=precision,
        family=config["model_type"],
        context_length=config["text_config"]["max_position_embeddings"],
        image_policy=demo_policy(),
        decoding=Sampling(),
        intended_use=intended_use,
        checkpoint_sha256=checkpoint_digest(checkpoint),
        files=digest_files(folder),
        runtime_options=dict(runtime_options),
        tools=list_versions(),
    )
    write_manifest(folder, manifest)
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(prog="radserve_engines.sealing", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--checkpoint", type=Path, required=True, help="the checkpoint that the engine was made from"
    )
    parser.add_argument("--name", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--intended-use", default="demonstration; not for clinical use")
    parser.add_argument(
        "--runtime-options", type=json.loads, default={}, metavar="JSON", help="passed to the runtime"
    )
    given = parser.parse_args()
    manifest = seal(
        given.folder,
        given.checkpoint,
        name=given.name,
        target=given.target,
        precision=given.precision,
        intended_use=given.intended_use,
        runtime_options=given.runtime_options,
    )
    print(manifest.digest)


if __name__ == "__main__":
    main()

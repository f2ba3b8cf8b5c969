"""From a fine-tuned checkpoint to an engine that is signed off: `radserve engine build`.

Six stages: read the checkpoint, merge adapters, quantize, compile for the target, let engine and unquantized
checkpoint answer the gate's questions and judge, sign off. `out` gets the engine, and `out`.build beside it everything
that the same command needs to go on after an interruption.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from radserve_engines.building.compiling import compile_engine
from radserve_engines.building.folders import claim, empty, link_checkpoint, list_files
from radserve_engines.building.judging import judge
from radserve_engines.building.libraries import calm_libraries
from radserve_engines.building.plan import BuildPlan, plan_build, tell_warnings
from radserve_engines.building.quantizing import quantize
from radserve_engines.building.request import BuildRequest
from radserve_engines.building.stages import Record, Stages
from radserve_engines.checkpoints.digest import checkpoint_digest
from radserve_engines.families.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.manifest import SIGNATURE_NAME, EngineManifest, digest_files, write_manifest
from radserve_engines.provenance import list_versions
from radserve_engines.signing import drop_stale_signature, fingerprint, read_private_key, sign_engine

STAGES = ("read", "merge", "quantize", "compile", "evaluate and gate", "sign")


def build_engine(request: BuildRequest) -> EngineManifest:
    """Build, gate and sign; returns the manifest, whose gate says how it went. Raises EngineError."""
    plan = plan_build(request)
    calm_libraries()
    with claim(request.out, request.work):
        return _run(plan, Stages(request.work, STAGES))


def _run(plan: BuildPlan, stages: Stages) -> EngineManifest:
    request = plan.request
    for warning in tell_warnings(plan):
        stages.say(f"warning: {warning}")
    # Other libraries may compute other weights, and the manifest says which ones did.
    found = {"files": list_files(request.checkpoint), "tools": list_versions()}
    read = stages.run("read", found, lambda _: _read(plan))
    given = {"adapters": [list_files(one) for one in request.adapters], "template": plan.template}
    merged = stages.run("merge", given, lambda _: _merge(plan), outputs=(plan.source / TEMPLATE,))
    quantize(plan, stages)
    options = compile_engine(plan, stages)
    manifest = _describe(plan, options, stages)
    manifest = replace(manifest, checkpoint_sha256=read["sha256"], adapters=tuple(merged["sha256"]))
    manifest = replace(manifest, gate=judge(plan, manifest, stages))
    write_manifest(request.out, manifest)
    key = read_private_key(request.key) if request.key else None
    drop_stale_signature(request.out, key)
    named = {"manifest": manifest.digest, "key": fingerprint(key.public_key()) if key else None}
    outputs = (request.out / SIGNATURE_NAME,) if key else ()
    stages.run("sign", named, lambda _: _sign(request.out, key), outputs=outputs)
    return manifest


def _read(plan: BuildPlan) -> Record:
    checkpoint = plan.checkpoint
    return {
        "sha256": checkpoint.digest,
        **checkpoint.to_json(),
        "image_policy": plan.conduct.origin,
    }


def _merge(plan: BuildPlan) -> Record:
    from radserve_engines.checkpoints import merge_adapters, write_plain

    empty(plan.source)
    record: Mapping[str, Any] = {"adapters": []}
    adapters = plan.request.adapters
    if adapters:
        record = merge_adapters(plan.checkpoint, adapters, plan.source)
    elif plan.checkpoint.plain:
        link_checkpoint(plan.request.checkpoint, plan.source)
    else:
        write_plain(plan.checkpoint, plan.source)
    if not (plan.source / TEMPLATE).is_file():
        (plan.source / TEMPLATE).write_text(plan.template, "utf-8")
    # `engine gate` knows by it what it is given, which has other files than the checkpoint: a template, no README.
    merged = checkpoint_digest(plan.source)
    return {**record, "merged_sha256": merged, "sha256": [checkpoint_digest(one) for one in adapters]}


def _describe(plan: BuildPlan, options: Mapping[str, Any], stages: Stages) -> EngineManifest:
    request, conduct = plan.request, plan.conduct
    return EngineManifest(
        name=request.name or request.out.name,
        target=request.target,
        precision=request.precision,
        family=plan.checkpoint.family.name,
        context_length=conduct.context_length,
        image_policy=conduct.policy,
        decoding=conduct.decoding,
        intended_use=request.intended_use or conduct.intended_use,
        checkpoint_sha256="",
        files=digest_files(request.out),
        runtime_options=dict(options),
        tools=list_versions(),
        stages=stages.to_json(),
    )


def _sign(out: Path, key: Ed25519PrivateKey | None) -> Record:
    if key is None:
        return {"signed": False}
    return {"signed": True, "key": sign_engine(out, key).key}

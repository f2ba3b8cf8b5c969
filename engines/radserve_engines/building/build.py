"""From a fine-tuned checkpoint to an engine that is signed off: `radserve engine build`.

Six stages: read the checkpoint, merge adapters, quantize, compile for the target, let engine and unquantized
checkpoint answer the gate's questions and judge, sign off. `out` gets the engine, and `out`.build beside it everything
that the same command needs to go on after an interruption.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from radserve_engines.building.chat_template import FILE_NAME as TEMPLATE
from radserve_engines.building.compiling import compile_engine
from radserve_engines.building.folders import claim, empty, link_checkpoint, list_files
from radserve_engines.building.judging import judge
from radserve_engines.building.libraries import calm_libraries
from radserve_engines.building.plan import BuildPlan, plan_build, tell_warnings
from radserve_engines.building.quantizing import quantize
from radserve_engines.building.request import BuildRequest
from radserve_engines.building.stages import Record, Stages
from radserve_engines.manifest import EngineManifest, digest_files, write_manifest
from radserve_engines.provenance import list_versions
from radserve_engines.sealing import checkpoint_digest
from radserve_engines.signing import read_private_key, sign_engine

STAGES = ("read", "merge", "quantize", "compile", "evaluate and gate", "sign")


def build_engine(request: BuildRequest) -> EngineManifest:
    """Build, gate and sign; returns the manifest, whose gate says how it went. Raises EngineError."""
    plan = plan_build(request)
    calm_libraries()
    claim(request.out, request.work)
    stages = Stages(request.work, STAGES)
    for warning in tell_warnings(plan):
        stages.say(f"warning: {warning}")
    read = stages.run("read", {"files": list_files(request.checkpoint)}, lambda _: _read(plan))
    given = {"adapters": [list_files(one) for one in request.adapters], "template": plan.template}
    merged = stages.run("merge", given, lambda _: _merge(plan), outputs=(plan.source / TEMPLATE,))
    quantize(plan, stages)
    options = compile_engine(plan, stages)
    manifest = _describe(plan, options, stages)
    manifest = replace(manifest, checkpoint_sha256=read["sha256"], adapters=tuple(merged["sha256"]))
    manifest = replace(manifest, gate=judge(plan, manifest, stages))
    write_manifest(request.out, manifest)
    stages.run("sign", {"manifest": manifest.digest}, lambda _: _sign(request))
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
    merged = {"merged_sha256": checkpoint_digest(plan.source)} if adapters else {}
    return {**record, **merged, "sha256": [checkpoint_digest(one) for one in adapters]}


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


def _sign(request: BuildRequest) -> Record:
    if request.key is None:
        return {"signed": False}
    signature = sign_engine(request.out, read_private_key(request.key))
    return {"signed": True, "key": signature.key}

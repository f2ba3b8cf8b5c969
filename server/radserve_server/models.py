"""GET /v1/models, in OpenAI's shape, and GET /v1/version."""

from typing import Any

from fastapi import APIRouter, Request

from radserve_server.auth import Caller
from radserve_server.documentation import MODELS, VERSION
from radserve_server.engine_watch import Engine
from radserve_server.errors import NotFound
from radserve_server.provenance import describe_engine
from radserve_server.release import own_version
from radserve_server.services import services_of

router = APIRouter(tags=["about"])


@router.get("/v1/models", **MODELS)
async def list_models(request: Request, caller: Caller) -> dict[str, Any]:
    """The engine as a list of one model; an empty list while it has never answered."""
    engine = services_of(request).watch.engine
    return {"object": "list", "data": [] if engine is None else [_model(engine)]}


@router.get("/v1/models/{model}", **MODELS)
async def find_model(request: Request, model: str, caller: Caller) -> dict[str, Any]:
    """One model."""
    engine = services_of(request).watch.engine
    if engine is None or engine.name != model:
        raise NotFound(
            "there is no such model; GET /v1/models lists them", code="model_not_found", param="model"
        )
    return _model(engine)


@router.get("/v1/version", **VERSION)
async def tell_version(request: Request, caller: Caller) -> dict[str, Any]:
    """Which radserve, and which engine."""
    engine = services_of(request).watch.engine
    return {"version": own_version(), "engine_digest": engine and engine.description.digest}


def _model(engine: Engine) -> dict[str, Any]:
    manifest = engine.description.manifest
    details = {
        **describe_engine(engine),
        "image_policy": engine.policy.to_json(),
        "decoding": manifest.get("decoding"),
        "context_length": manifest.get("context_length"),
        "confidence": manifest.get("confidence"),
    }
    head = {"id": engine.name, "object": "model", "created": engine.since, "owned_by": "radserve"}
    return {**head, "clinical": details}

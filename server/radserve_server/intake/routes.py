"""POST /dicom-web/studies: take instances in (STOW-RS), to be asked about as `pacs: intake`. POST /v1/answers/search:
what is known about a study already.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, Response

from radserve_server.answer_store import SHARED, KeptAnswer
from radserve_server.auth import Caller
from radserve_server.bodies import parse_json, read_body, require_json
from radserve_server.documentation import ANSWERS, STOW
from radserve_server.intake.answers_schema import AnswersRequest
from radserve_server.intake.stow import DICOM_JSON, StoreAnswer, check_accept, read_instances
from radserve_server.services import services_of

router = APIRouter(tags=["intake"])


@router.post("/dicom-web/studies", **STOW)
async def store_instances(request: Request, caller: Caller) -> Response:
    """Take in instances of any studies."""
    return await _store(request, caller, None)


@router.post("/dicom-web/studies/{study}", **STOW)
async def store_study(
    request: Request, study: Annotated[str, Path(max_length=64)], caller: Caller
) -> Response:
    """Take in instances of one study; those of another are refused."""
    return await _store(request, caller, study)


async def _store(request: Request, caller: str, study: str | None) -> Response:
    services = services_of(request)
    reception = services.intake.open_stow()
    check_accept(request)
    push = reception.begin(None)
    answer = StoreAnswer(push, study)
    try:
        async for data in read_instances(request, reception.limits, services.settings.body_timeout_s):
            await answer.take(data)
    finally:
        reception.note_end(push)
        services.audit.note("push", caller, stored=push.stored, refused=push.refused)
    return JSONResponse(answer.to_json(), answer.status, _warn(answer.reasons), media_type=DICOM_JSON)


@router.post("/v1/answers/search", **ANSWERS)
async def find_answers(request: Request, caller: Caller) -> Response:
    """The caller's own answers about a study, and those to standing questions, oldest first."""
    services = services_of(request)
    require_json(request)
    body = await read_body(request, services.settings.max_body_bytes, services.settings.body_timeout_s)
    study = parse_json(AnswersRequest, body).study
    own = [] if caller == SHARED else services.answers.about(caller, study)
    standing = services.answers.about(SHARED, study)
    newest = {(answer.model, answer.question): answer.answer_id for answer in standing}
    data = [
        *(_describe(answer, standing=False, superseded=False) for answer in own),
        *(
            _describe(
                answer,
                standing=True,
                superseded=newest[answer.model, answer.question] != answer.answer_id,
            )
            for answer in standing
        ),
    ]
    data.sort(key=lambda answer: str(answer["created"]))
    return JSONResponse({"object": "list", "data": data, "waiting": services.intake.count_waiting(study)})


def _describe(answer: KeptAnswer, *, standing: bool, superseded: bool) -> dict[str, Any]:
    clinical = answer.clinical
    return {
        "answer_id": answer.answer_id,
        "question": answer.question,
        "answer": answer.text,
        "model": answer.model,
        "finish_reason": answer.finish_reason,
        "confidence": clinical.get("confidence"),
        "abstained": clinical.get("abstained"),
        "warnings": clinical.get("warnings", []),
        "seen": [seen.to_json() for seen in answer.seen],
        "created": answer.created.isoformat(),
        "standing": standing,
        "superseded": superseded,
    }


def _warn(reasons: list[str]) -> dict[str, str]:
    """What a person would want to know of what was not kept, in the Warning header (RFC 7234 5.5)."""
    if not reasons:
        return {}
    told = "; ".join(dict.fromkeys(reasons)).encode("ascii", "replace").decode().replace('"', "'")
    return {"warning": f'299 radserve "{told[:500]}"'}

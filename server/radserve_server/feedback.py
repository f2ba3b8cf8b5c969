"""POST /v1/feedback: what a reader thinks of an answer, kept as an audit event."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from radserve_server.audit_events import identify_answer
from radserve_server.auth import Caller
from radserve_server.bodies import parse_json, read_body, require_json
from radserve_server.documentation import FEEDBACK
from radserve_server.feedback_schema import FeedbackRequest
from radserve_server.services import services_of

router = APIRouter(tags=["reports"])


@router.post("/v1/feedback", **FEEDBACK)
async def judge_answer(request: Request, caller: Caller) -> Response:
    """Thumbs up or down for an answer that was given to this key; it is on the disk when this answers 201."""
    services = services_of(request)
    require_json(request)
    body = await read_body(request, services.settings.max_body_bytes, services.settings.body_timeout_s)
    wanted = parse_json(FeedbackRequest, body)
    answer = services.answers.get(caller, wanted.answer_id, "answer_id")
    event = await services.audit.record(
        "feedback",
        caller,
        **identify_answer(answer),
        verdict=wanted.verdict,
        comment=wanted.comment,
        confidence=answer.clinical["confidence"],
        abstained=answer.clinical["abstained"],
    )
    told = {"object": "feedback", "answer_id": answer.answer_id, "verdict": wanted.verdict}
    return JSONResponse({**told, "event_id": event["event_id"], "time": event["time"]}, 201)

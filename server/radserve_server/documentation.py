"""What the OpenAPI document says of each route besides its docstring: bodies, answers, errors, examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from radserve_imaging import CT_PRESETS
from radserve_server import examples
from radserve_server.chat_schema import ChatRequest
from radserve_server.feedback_schema import FeedbackRequest
from radserve_server.intake.answers_schema import AnswersRequest
from radserve_server.reports.report_schema import ReportRequest
from radserve_server.vqa_schema import RenderRequest, SeriesRequest, VqaRequest
from radserve_server.worklist import example as workitems

DESCRIPTION = """Ask a medical vision-language model about images, DICOM included.

Every error has the shape `{"error": {"message", "type", "param", "code"}}` with a true HTTP status; 429 and
503 carry `Retry-After`. What is ours in OpenAI's answers stands under `clinical`: the engine and its digest,
the rendering record of each image, confidence, warnings and timings in ms.

`clinical.confidence` is the calibrated probability, 0 to 1, that the answer is right. `clinical.abstained` is true
below the engine's threshold for the type of the last user question, closed or open; then a warning says so, and the
answer is given all the same. `clinical.confidence_basis` has the type, the threshold, the stated risk (the share of
wrong answers among those not abstained from, at most), and the logarithm of the answer's probability to the model;
where confidence and abstained are null (sampling at a temperature, a cut answer, an engine without calibration), its
`reason` says why.

An answer that repeats itself endlessly is cut: `clinical.finish_reason` is `repetition`, OpenAI's `finish_reason` is
`length`, since the answer is not complete.

`clinical.timings` tells where the time went, in ms: `body_ms`, the arrival of the body after the headers; `fetch_ms`,
getting the images from where they lie (base64, a form, uploads; finding and fetching in a PACS); `admission_ms`, the
wait for a place; `decode_render_ms`, the images, of which `image_wait_ms` is the wait for a decoding worker,
`image_decode_ms` the codec and `image_render_ms` all else (windows, resizing, digests, the way to the worker and back),
of the image that was ready last, and all 0 for images that were rendered before; the engine's own `queue_ms`,
`vision_ms`, `prefill_ms` and `decode_ms`; `ttft_ms`, from the headers to the first token, `ttft_without_fetch_ms`, the
same less `fetch_ms`, and `total_ms`, to the last. POST /v1/images tells the same of an upload under `timings`.

Images that lie in a PACS are named by UID: `image_dicom` in /v1/vqa and /v1/render, parts of type `image_dicom` in
chat. Only what is shown is fetched (docs/pacs.md). `clinical.seen` has the address and frame of each image that the
model saw; `clinical.archive` how many `instances` were fetched for this question and their `bytes`, the
`metadata_bytes` that it took to find them, and how many were `cached`; null where no image lies in a PACS.

For demonstration and research, not for clinical use, unless the engine's own gate and labelling say otherwise."""

_SCHEMA = "#/components/schemas/"
_MODELS = (
    AnswersRequest,
    ChatRequest,
    VqaRequest,
    RenderRequest,
    SeriesRequest,
    ReportRequest,
    FeedbackRequest,
)
_IMAGE_TYPES = ("application/dicom", "image/png", "image/jpeg")
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _error(description: str, code: str, param: str | None = None) -> dict[str, Any]:
    detail = {"message": description, "type": "invalid_request_error", "param": param, "code": code}
    media = {"schema": {"$ref": f"{_SCHEMA}Error"}, "example": {"error": detail}}
    return {"description": description, "content": {"application/json": media}}


_ERRORS: dict[int, dict[str, Any]] = {
    400: _error(
        "the request or an image in it is wrong", "truncated_dicom", "messages.0.content.0.image_url.url"
    ),
    401: _error("no API key, or one that is not known", "invalid_api_key"),
    403: _error(
        "without API keys: called by another name than localhost, or by another site", "unknown_host"
    ),
    404: _error("no such model or image", "image_not_found", "image_ids"),
    406: _error("none of the media types in Accept can be given", "not_acceptable", "Accept"),
    409: _error("it does not fit the state that things are in", "already_filed", "comment"),
    413: _error("a body or an image over its limit", "body_too_large", "body"),
    415: _error("a Content-Type that is not read here", "unsupported_media_type", "Content-Type"),
    429: _error("too many questions at once; see Retry-After", "overloaded"),
    501: _error("a part of a standard that is left out here", "not_offered"),
    502: _error("the PACS did not do what it was asked", "archive_broken"),
    503: _error("the engine does not answer; see Retry-After", "engine_unavailable"),
    504: _error("a PACS did not answer in time", "archive_timeout", "image_dicom.0"),
}


def _route(
    *errors: int, answers: dict[str, Any] | None = None, body: dict[str, Any] | None = None, status: int = 200
) -> dict[str, Any]:
    responses: dict[int, Any] = {code: _ERRORS[code] for code in sorted({403, *errors})}
    if answers:
        content = {kind: _media(example) for kind, example in answers.items()}
        responses[status] = {"description": "as asked", "content": content}
    extra = {"requestBody": {"required": True, "content": body}} if body else {}
    return {"responses": responses, "openapi_extra": extra}


def _media(example: object) -> dict[str, Any]:
    return _BINARY if example is None else {"example": example}


def _json(model: str, cases: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace(" ", "_"): {"summary": name, "value": value} for name, value in cases.items()}
    return {"application/json": {"schema": {"$ref": f"{_SCHEMA}{model}"}, "examples": named}}


def _form(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"multipart/form-data": {"schema": {"type": "object", "properties": fields, "required": required}}}


_READING = {
    "frame": {"type": "integer", "minimum": 1},
    "window": {"enum": list(CT_PRESETS)},
    "window_center": {"type": "number"},
    "window_width": {"type": "number"},
    "window_function": {"enum": ["LINEAR", "LINEAR_EXACT", "SIGMOID"]},
    "slices_choose": {"enum": ["uniform", "range", "around"]},
    **{f"slices_{name}": {"type": "integer"} for name in ("count", "first", "last", "at", "neighbours")},
    "overlays": {"type": "boolean"},
    "presentation_state": {"type": "string"},
}
_FILE = {"type": "string", "format": "binary"}
_VQA_FORM = {
    "image": {"type": "array", "items": _FILE},
    "question": {"type": "string"},
    **_READING,
    "max_tokens": {"type": "integer"},
    "temperature": {"type": "number"},
    "top_p": {"type": "number"},
    "top_k": {"type": "integer"},
    "seed": {"type": "integer"},
    "stop": {"type": "array", "items": {"type": "string"}},
    "model": {"type": "string"},
    "image_ids": {"type": "array", "items": {"type": "string"}},
    "series_ids": {"type": "array", "items": {"type": "string"}},
}

CHAT = _route(
    *(400, 401, 404, 413, 415, 429, 502, 503, 504),
    answers={"application/json": examples.COMPLETION, "text/event-stream": examples.CHAT_EVENTS},
    body=_json("ChatRequest", examples.CHAT_REQUESTS),
)
VQA = _route(
    *(400, 401, 404, 413, 415, 429, 502, 503, 504),
    answers={"application/json": examples.VQA_ANSWER, "text/event-stream": examples.VQA_EVENTS},
    body={**_json("VqaRequest", examples.VQA_REQUESTS), **_form(_VQA_FORM, ["image", "question"])},
)
UPLOAD = _route(
    *(400, 401, 413, 415),
    answers={"application/json": examples.UPLOADED},
    body=dict.fromkeys(_IMAGE_TYPES, _BINARY),
    status=201,
)
SERIES = _route(
    *(400, 401, 404, 413, 415),
    answers={"application/json": examples.SORTED_SERIES},
    body=_json("SeriesRequest", examples.SERIES_REQUESTS),
    status=201,
)
DELETE_IMAGE = _route(401, 404, answers={"application/json": examples.DELETED})
RENDER = _route(
    *(400, 401, 404, 413, 415, 502, 503, 504),
    answers={"image/png": None, "application/json": examples.RENDERING},
    body={
        **dict.fromkeys(_IMAGE_TYPES, _BINARY),
        **_json("RenderRequest", examples.RENDER_REQUESTS),
        **_form({"image": _FILE, **_READING}, ["image"]),
    },
)
RENDER["openapi_extra"]["parameters"] = [
    {"name": name, "in": "query", "required": False, "schema": schema, "description": "with a raw body"}
    for name, schema in _READING.items()
]
REPORT = _route(
    *(400, 401, 404, 409, 413, 415, 502),
    answers={"application/json": examples.REPORT, "application/dicom": None},
    body=_json("ReportRequest", examples.REPORT_REQUESTS),
    status=201,
)
FEEDBACK = _route(
    *(400, 401, 404, 409, 413, 415, 503),
    answers={"application/json": examples.FEEDBACK},
    body=_json("FeedbackRequest", examples.FEEDBACK_REQUESTS),
    status=201,
)
STOW = _route(
    *(400, 401, 404, 406, 413, 415),
    answers={"application/dicom+json": examples.STORED},
    body={'multipart/related; type="application/dicom"': _BINARY, "application/dicom": _BINARY},
)
STOW["responses"] |= {
    202: {"description": "some instances were not taken: see FailedSOPSequence and the Warning header"},
    409: {"description": "no instance was taken: see FailedSOPSequence and the Warning header"},
}
ANSWERS = _route(
    *(400, 401, 413, 415),
    answers={"application/json": examples.ANSWERS},
    body=_json("AnswersRequest", examples.ANSWERS_REQUESTS),
)
_DICOM_JSON = "application/dicom+json"
_UPS_BODY = {"schema": {"type": "array", "items": {"type": "object"}}}
WORKITEM_CREATE = _route(
    *(400, 401, 409, 415, 429), body={_DICOM_JSON: {**_UPS_BODY, "example": [workitems.EXAMPLE]}}
)
WORKITEMS = _route(400, 401, 406, answers={_DICOM_JSON: [workitems.EXAMPLE]})
WORKITEM = _route(400, 401, 404, 406, answers={_DICOM_JSON: [workitems.EXAMPLE]})
WORKITEM_UPDATE = _route(
    *(400, 401, 404, 415), body={_DICOM_JSON: {**_UPS_BODY, "example": [workitems.PROGRESS]}}
)
WORKITEM_STATE = _route(
    *(400, 401, 404, 409, 415), body={_DICOM_JSON: {**_UPS_BODY, "example": [workitems.CLAIM]}}
)
WORKITEM_CANCEL = _route(
    *(400, 401, 404, 409, 415), body={_DICOM_JSON: {**_UPS_BODY, "example": [workitems.REASON]}}
)
WORKITEM_SUBSCRIPTION = _route(401, 501)
MODELS = _route(401, answers={"application/json": examples.MODELS})
VERSION = _route(401, answers={"application/json": examples.VERSION})
HEALTH = _route(answers={"application/json": {"status": "live"}})
READY = _route(answers={"application/json": {"status": "ready"}})
READY["responses"][503] = {
    "description": "the engine does not answer",
    "content": {"application/json": {"example": {"status": "not_ready", "reason": "no answer within 2.5 s"}}},
}
METRICS = _route(answers={"text/plain": "radserve_num_requests_running 1.0"})


def describe_api(app: FastAPI) -> dict[str, Any]:
    """FastAPI's OpenAPI document, with the bodies that routes read by themselves; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, schemas = models_json_schema(
            [(model, "validation") for model in _MODELS], ref_template=f"{_SCHEMA}{{model}}"
        )
        known = document.setdefault("components", {}).setdefault("schemas", {})
        known.update(schemas["$defs"])
        known["Error"] = examples.ERROR_SCHEMA
        app.openapi_schema = document
    return app.openapi_schema

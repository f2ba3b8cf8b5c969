"""Requests and answers as the OpenAPI document shows them."""

from typing import Any

_IMAGE_ID = f"sha256-{'0' * 64}"
_SERIES_ID = f"series-{'0' * 64}"
_USAGE = {"prompt_tokens": 91, "completion_tokens": 6, "total_tokens": 97}
_TEXT = "No acute abnormality is seen."

_RECORD = {
    "media_type": "application/dicom",
    "modality": "CT",
    "frame": 1,
    "voi": {
        "source": "policy",
        "center": 40.0,
        "width": 400.0,
        "function": "LINEAR",
        "units": "HU",
        "reason": "the engine was built on CT in this window",
    },
    "size_in": [512, 512],
    "decoded_size": [512, 512],
    "size_out": [224, 224],
    "slice": {"slice": 14, "slices": 28, "position_mm": 18.36, "choice": "the policy asks for one slice"},
}
_IMAGE_TIMES = {"image_wait_ms": 0.1, "image_decode_ms": 1.2, "image_render_ms": 2.8}
_CLINICAL = {
    "engine": {"name": "radserve-demo", "digest": "sha256:…", "precision": "int8", "gate": "passed"},
    "images": [_RECORD],
    "finish_reason": "stop",
    "confidence": 0.83,
    "abstained": False,
    "confidence_basis": {
        "question_type": "closed",
        "threshold": 0.6,
        "stated_risk": 0.3,
        "answer_logprob": -0.25,
        "reason": None,
    },
    "warnings": [],
    "answer_id": f"answer-{'0' * 32}",
    "seen": [{"image_id": f"sha256-{'0' * 64}", "frame": 1}],
    "archive": None,
    "timings": {
        "body_ms": 0.9,
        "fetch_ms": 0.8,
        "admission_ms": 0.0,
        "decode_render_ms": 4.1,
        **_IMAGE_TIMES,
        "queue_ms": 0.3,
        "vision_ms": 13.4,
        "prefill_ms": 9.7,
        "ttft_ms": 31.2,
        "ttft_without_fetch_ms": 30.4,
        "decode_ms": 26.5,
        "total_ms": 58.0,
    },
}
_HEAD = '"id":"chatcmpl-1","created":1767225600,"model":"radserve-demo","object":"chat.completion.chunk"'


def _question(url: str) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [image, {"type": "text", "text": "Is there a bleed?"}]}]


_REFERENCE = {"study": "1.2.840.113619.2.1", "series": "1.2.840.113619.2.1.3", "pacs": "ward"}
_INSTANCE = {**_REFERENCE, "instances": ["1.2.840.113619.2.1.3.17"], "window": "brain"}

CHAT_REQUESTS: dict[str, Any] = {
    "a DICOM file as data URI": {
        "model": "radserve-demo",
        "messages": _question("data:application/dicom;base64,AAAA"),
        "clinical": {"frame": 1, "window": {"center": 40, "width": 80}},
    },
    "an uploaded image, streamed": {
        "model": "radserve-demo",
        "messages": _question(f"radserve://images/{_IMAGE_ID}"),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 64,
        "temperature": 0,
    },
    "an image in a PACS": {
        "model": "radserve-demo",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_dicom", "image_dicom": _INSTANCE},
                    {"type": "text", "text": "Is there a bleed?"},
                ],
            }
        ],
    },
}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1767225600,
    "model": "radserve-demo",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": _TEXT, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": _USAGE,
    "clinical": _CLINICAL,
}
CHAT_EVENTS = (
    f'data: {{{_HEAD},"choices":[{{"index":0,"delta":{{"role":"assistant","content":""}}}}]}}\n\n'
    f'data: {{{_HEAD},"choices":[{{"index":0,"delta":{{"content":"No acute"}}}}]}}\n\n'
    f'data: {{{_HEAD},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"clinical":{{}}}}\n\n'
    "data: [DONE]\n\n"
)
VQA_REQUESTS: dict[str, Any] = {
    "uploaded images": {"image_ids": [_IMAGE_ID], "question": "Is there a bleed?", "max_tokens": 64},
    "with a window": {
        "image_ids": [_IMAGE_ID],
        "question": "Is there a bleed?",
        "window": {"center": 40, "width": 80},
    },
}
VQA_REQUESTS |= {
    "four slices of a series in a PACS": {
        "image_dicom": [_REFERENCE],
        "slices": {"choose": "uniform", "count": 4},
        "question": "Is there a bleed?",
    },
}
VQA_ANSWER: dict[str, Any] = {
    "answer": _TEXT,
    "model": "radserve-demo",
    "finish_reason": "stop",
    "usage": _USAGE,
    "clinical": _CLINICAL,
}
VQA_EVENTS = (
    'event: delta\ndata: {"delta":"No acute"}\n\n'
    'event: answer\ndata: {"answer":"No acute abnormality is seen.","model":"radserve-demo","clinical":{}}\n\n'
)
UPLOADED: dict[str, Any] = {
    "image_id": _IMAGE_ID,
    "object": "image",
    "media_type": "application/dicom",
    "bytes": 526336,
    "expires_at": 1767229200,
    "timings": {"body_ms": 0.9, **_IMAGE_TIMES, "total_ms": 5.6},
}
DELETED: dict[str, Any] = {"image_id": _IMAGE_ID, "object": "image", "deleted": True}
SERIES_REQUESTS: dict[str, Any] = {"uploaded slices": {"image_ids": [_IMAGE_ID]}}
SORTED_SERIES: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "series_id": _SERIES_ID,
            "object": "series",
            "description": "CT, 28 slices of 512 × 512 px, axial",
            "modality": "CT",
            "slices": 28,
            "extent_mm": 135.0,
            "warnings": ["slices are missing: 1 after slice 12"],
            "image_ids": [_IMAGE_ID],
            "expires_at": 1767229200,
        }
    ],
    "left_out": [{"image_id": _IMAGE_ID, "reason": "localizer"}],
}
RENDER_REQUESTS: dict[str, Any] = {
    "a frame of an uploaded image": {"image_id": _IMAGE_ID, "frame": 1},
    "nine slices of a series in a brain window": {
        "series_id": _SERIES_ID,
        "slices": {"choose": "uniform", "count": 9},
        "window": "brain",
    },
}
RENDER_REQUESTS["an image in a PACS"] = {"image_dicom": _INSTANCE}
_SEEN = {
    "pacs": "ward",
    "study": "1.2.840.113619.2.1",
    "series": "1.2.840.113619.2.1.3",
    "instance": "1.2.840.113619.2.1.3.17",
    "frame": 1,
}
RENDERING: dict[str, Any] = {"images": [{"png_base64": "iVBORw0K…", "record": _RECORD}], "seen": [_SEEN]}
_ANSWER_ID = f"answer-{'0' * 32}"
REPORT_REQUESTS: dict[str, Any] = {
    "file it where the images came from": {"answer_id": _ANSWER_ID},
    "with the reader's own words": {"answer_id": _ANSWER_ID, "pacs": "ward", "comment": "Seen, I agree."},
    "make it, store it nowhere": {"answer_id": _ANSWER_ID, "store": False},
}
REPORT: dict[str, Any] = {
    "object": "report",
    "answer_id": _ANSWER_ID,
    "kind": "basic_text",
    "sop_class": {"uid": "1.2.840.10008.5.1.4.1.1.88.11", "name": "Basic Text SR Storage"},
    "sop_instance_uid": "2.25.1",
    "series": "2.25.2",
    "study": "1.2.3",
    "stored_to": "ward",
    "already_filed": False,
    "bytes": 5182,
    "fhir": {"resourceType": "DiagnosticReport", "status": "preliminary", "conclusion": _TEXT},
    "warnings": [],
}
FEEDBACK_REQUESTS: dict[str, Any] = {
    "thumbs down": {"answer_id": _ANSWER_ID, "verdict": "down", "comment": "The bleed is on the left."}
}
FEEDBACK: dict[str, Any] = {
    "object": "feedback",
    "answer_id": _ANSWER_ID,
    "verdict": "down",
    "event_id": "0" * 32,
    "time": "2026-01-01T00:00:00.000+00:00",
}
_SOP = {
    "00081150": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00081155": {"vr": "UI", "Value": ["1.2.3.4"]},
}
STORED: dict[str, Any] = {
    "00081190": {"vr": "UR"},
    "00081199": {"vr": "SQ", "Value": [{**_SOP, "00081190": {"vr": "UR"}}]},
}
ANSWERS_REQUESTS: dict[str, Any] = {"answers about a study": {"study": "1.2.3"}}
ANSWERS: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "answer_id": f"answer-{'0' * 32}",
            "question": "Is there a bleed?",
            "answer": _TEXT,
            "model": "radserve-demo",
            "finish_reason": "stop",
            "confidence": 0.83,
            "abstained": False,
            "warnings": [],
            "seen": [
                {"pacs": "intake", "study": "1.2.3", "series": "1.2.3.1", "instance": "1.2.3.4", "frame": 1}
            ],
            "created": "2026-01-01T00:00:00+00:00",
            "standing": True,
            "superseded": False,
        }
    ],
    "waiting": 0,
}
MODELS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": "radserve-demo", "object": "model", "created": 1767225600, "owned_by": "radserve"}],
}
VERSION: dict[str, Any] = {"version": "0.1.0", "engine_digest": "sha256:…"}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "the field at fault"},
                "code": {"type": "string"},
            },
        }
    },
}

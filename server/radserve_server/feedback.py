"""POST /v1/feedback: what a reader thinks of an answer, kept as an audit event."""

from fastapi import APIRouter

router = APIRouter(tags=["reports"])

"""The request of POST /v1/feedback."""

from typing import Literal

from pydantic import Field

from radserve_server.schemas import Strict


class FeedbackRequest(Strict):
    """What a reader thinks of an answer."""

    answer_id: str = Field(max_length=100, description="`clinical.answer_id` of the answer")
    verdict: Literal["up", "down"]
    comment: str | None = Field(None, min_length=1, max_length=4000, description="the reader's own words")

"""The request of POST /v1/reports."""

from typing import Literal

from pydantic import Field

from radserve_server.schemas import Strict

Kind = Literal["basic_text", "tid1500"]


class ReportRequest(Strict):
    """Which answer to write back, and where to; what it says comes from the server's own memory of it."""

    answer_id: str = Field(max_length=100, description="`clinical.answer_id` of the answer")
    pacs: str | None = Field(
        None, max_length=100, description="where to store; default: where the answer's first image came from"
    )
    kind: Kind = Field(
        "basic_text", description="Basic Text SR, which viewers show, or Comprehensive 3D SR of TID 1500"
    )
    store: bool = Field(True, description="false makes the report and stores it nowhere")
    comment: str | None = Field(
        None, min_length=1, max_length=4000, description="the reader's own words, told apart from the model's"
    )

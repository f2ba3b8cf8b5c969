"""The request of POST /v1/answers/search."""

from pydantic import Field

from radserve_server.schemas import Strict, Uid


class AnswersRequest(Strict):
    """Which study the answers are about; in the body, for a UID is the patient's."""

    study: Uid = Field(description="Study Instance UID")

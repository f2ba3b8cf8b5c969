"""Ask a radserve server about medical images."""

from radserve_client.blocking import Client
from radserve_client.client import Answer, AsyncClient, Rendered, Series, SortedSeries
from radserve_client.errors import (
    AnswerBroken,
    ApiError,
    InvalidRequest,
    RadserveError,
    ServerBusy,
    ServerUnreachable,
)

__all__ = [
    "Answer",
    "AnswerBroken",
    "ApiError",
    "AsyncClient",
    "Client",
    "InvalidRequest",
    "RadserveError",
    "Rendered",
    "Series",
    "ServerBusy",
    "ServerUnreachable",
    "SortedSeries",
]

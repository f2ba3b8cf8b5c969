"""What a call can raise.

RadserveError
├── ServerUnreachable    nothing answers at that address, or not in time
├── AnswerBroken         the stream ended before its answer did
└── ApiError             the server said no: status, code, param and message are the server's own
    ├── InvalidRequest   4xx: the request is at fault
    └── ServerBusy       429 or 503: the same request may pass later, after `retry_after` seconds
"""


class RadserveError(Exception):
    """Any failure of a call."""


class ServerUnreachable(RadserveError):
    """Nothing answers at that address, or not in time."""


class AnswerBroken(RadserveError):
    """The stream ended before its answer did."""


class ApiError(RadserveError):
    """The server's error, as `{"error": {"message", "type", "param", "code"}}` states it."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None,
        param: str | None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.retry_after = retry_after


class InvalidRequest(ApiError):
    """The request is at fault, or may not be made."""


class ServerBusy(ApiError):
    """Too much to do, or the engine is not there at the moment."""

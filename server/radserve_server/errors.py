"""What a request can fail with, as one tree; each class carries its HTTP status and OpenAI's error type.

GatewayError                 500 server_error
├── InvalidRequest           400 invalid_request      (code says which)
│   ├── QuestionRefused      400 by the engine: context_length_exceeded, invalid_sampling, …
│   └── ImageRefused         400 by the decoder: radserve_imaging's codes, decoder_failed
├── Unauthorized             401 invalid_api_key
├── Forbidden                403 forbidden            (unknown_host, cross_site)
├── NotFound                 404 model_not_found, image_not_found, series_not_found, dicom_not_found, …
├── NotAcceptable            406 not_acceptable
├── RequestTimeout           408 request_timeout
├── Conflict                 409 conflict             (code says which)
│   └── InstanceRefused      409 of a pushed instance: spool_full, instance_too_large, …
├── TooLarge                 413 body_too_large, too_large
├── UnsupportedMediaType     415 unsupported_media_type
├── Overloaded               429 overloaded           (Retry-After)
├── ClientGone               499 client_gone          (nobody is left to read it)
├── NotOffered               501 not_offered          (a part of a standard that is left out)
├── EngineUnavailable        503 engine_unavailable   (Retry-After)
├── WorklistUnavailable      503 worklist_unavailable
├── AuditUnavailable         503 audit_unavailable    (Retry-After)
├── GatewayUnreachable       502 gateway_unreachable  (the viewer's)
└── ArchiveError             502 archive_failed       (a PACS did not do what it was asked)
    ├── ArchiveRefused       502 archive_refused      (it answered 401 or 403)
    ├── ArchiveBroken        502 archive_broken, archive_cut_off, archive_wrong_type, archive_wrong_instance
    ├── ArchiveUnreachable   502 archive_unreachable, archive_untrusted
    └── ArchiveTimeout       504 archive_timeout
"""

from typing import Any, ClassVar


class GatewayError(Exception):
    """The message is for the person who asked, `code` for programs, `param` names the field at fault.

    `warning` goes into the answer's Warning header, where a standard wants one.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"
    retry_after_s: ClassVar[int | None] = None

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, warning: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.warning = warning

    def to_json(self) -> dict[str, Any]:
        """OpenAI's error shape."""
        detail = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": detail}


class InvalidRequest(GatewayError):
    """The request is wrong; sending it again as it is will not help."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class QuestionRefused(InvalidRequest):
    """The engine cannot take this question."""

    default_code = "question_refused"

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message, code=code, param=param)


class ImageRefused(InvalidRequest):
    """An image that cannot be shown to the model."""

    default_code = "decoder_failed"


class Unauthorized(GatewayError):
    """No API key, or one that is not known."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class Forbidden(GatewayError):
    """Not for this caller, whoever it says it is."""

    status = 403
    type = "permission_error"
    default_code = "forbidden"


class NotFound(GatewayError):
    """No such route, model or image."""

    status = 404
    type = "invalid_request_error"
    default_code = "not_found"


class NotAcceptable(GatewayError):
    """None of the media types in Accept can be given."""

    status = 406
    type = "invalid_request_error"
    default_code = "not_acceptable"


class RequestTimeout(GatewayError):
    """The body did not arrive in time."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(GatewayError):
    """The request does not fit the state that things are in."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"


class InstanceRefused(Conflict):
    """A pushed instance that is not taken; `status_code` is DICOM's word for why (PS3.4 B.2.3).

    `instance` is its SOP class and instance UID, once they are known.
    """

    default_code = "instance_refused"

    def __init__(self, message: str, status_code: int, *, code: str) -> None:
        super().__init__(message, code=code)
        self.status_code = status_code
        self.instance: tuple[str, str] | None = None


class TooLarge(GatewayError):
    """A body or an image over its limit."""

    status = 413
    type = "invalid_request_error"
    default_code = "body_too_large"


class UnsupportedMediaType(GatewayError):
    """A Content-Type that this route does not read."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_media_type"


class Overloaded(GatewayError):
    """Too many questions at once."""

    status = 429
    type = "rate_limit_error"
    default_code = "overloaded"
    retry_after_s = 1


class ClientGone(GatewayError):
    """The client closed the connection before its answer was there."""

    status = 499
    type = "invalid_request_error"
    default_code = "client_gone"


class NotOffered(GatewayError):
    """A part of a standard that this server leaves out."""

    status = 501
    type = "invalid_request_error"
    default_code = "not_offered"


class EngineUnavailable(GatewayError):
    """The engine does not answer, or failed in the middle of an answer."""

    status = 503
    type = "server_error"
    default_code = "engine_unavailable"
    retry_after_s = 1


class GatewayUnreachable(GatewayError):
    """The viewer's server got no answer from the gateway behind it."""

    status = 502
    default_code = "gateway_unreachable"


class ArchiveError(GatewayError):
    """A PACS did not do what it was asked; the message names it."""

    status = 502
    default_code = "archive_failed"


class ArchiveRefused(ArchiveError):
    """The PACS does not take the credentials of the gateway, or none were given."""

    default_code = "archive_refused"


class ArchiveBroken(ArchiveError):
    """The PACS broke off in the middle of an answer, or answered something else than what was asked for."""

    default_code = "archive_broken"


class ArchiveUnreachable(ArchiveError):
    """Nobody answers at the PACS's address, or somebody whose certificate is not trusted."""

    default_code = "archive_unreachable"


class ArchiveTimeout(ArchiveError):
    """The PACS did not answer in time."""

    status = 504
    default_code = "archive_timeout"


class WorklistUnavailable(GatewayError):
    """The worklist's file cannot be written; nothing has changed."""

    status = 503
    default_code = "worklist_unavailable"


class AuditUnavailable(GatewayError):
    """An event that must be kept could not be written."""

    status = 503
    default_code = "audit_unavailable"
    retry_after_s = 1

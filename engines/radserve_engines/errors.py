"""What can go wrong between a checkpoint and an answer.

EngineError
├── ManifestError            the engine folder is not what its manifest says, or the manifest is unreadable
├── SignatureError           the manifest is not signed, or not by a key that is trusted here
├── CheckpointError          a checkpoint or adapter cannot be read, or is of no family known here
├── BuildRefused             what was asked for cannot work: said before any work, with the nearest that does
├── BuildFailed              a stage of a build broke; what was done stays, and the same command goes on
├── PlanError                a plan's model, GPU or number makes no sense
├── EvaluationError          a question set, a target or earlier results cannot be used, or the server is gone
├── EngineFailed             the runtime broke under this question (ours to mend)
└── QuestionRefused          the question cannot be answered by this engine (the caller's to mend)
"""

from typing import ClassVar


class EngineError(Exception):
    """Carries a stable `code` for programs and, where there is one, the request's field in `param`."""

    code: ClassVar[str] = "engine_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.reason = code or self.code

    def to_json(self) -> dict[str, str | None]:
        """As sent to the gateway: {"code", "message", "param"}."""
        return {"code": self.reason, "message": str(self), "param": self.param}


class ManifestError(EngineError):
    """engine.json is missing, malformed, or contradicts the files beside it."""

    code = "manifest"


class SignatureError(EngineError):
    """The manifest is unsigned, signed by a stranger, or was changed since; says which file and the way out."""

    code = "signature"


class CheckpointError(EngineError):
    """A checkpoint or adapter cannot be read, or is of no family that is known here."""

    code = "checkpoint"


class BuildRefused(EngineError):
    """The combination cannot work; the message has the reason and the nearest that does."""

    code = "build_refused"


class BuildFailed(EngineError):
    """A stage broke; what was done before it is kept."""

    code = "build_failed"


class PlanError(EngineError):
    """A model, GPU or number that a plan cannot be made of."""

    code = "plan"


class EvaluationError(EngineError):
    """A question set, a target or earlier results cannot be used, or the server is gone; says how to go on."""

    code = "evaluation"


class EngineFailed(EngineError):
    """The runtime raised while it worked on a question."""

    code = "engine_failed"


class QuestionRefused(EngineError):
    """Too long, too many images, an unknown sampling field, a control token in the text."""

    code = "question_refused"

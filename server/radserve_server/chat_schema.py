"""The request of POST /v1/chat/completions, field by field of OpenAI's."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from radserve_server.schemas import MAX_MESSAGES, Message, ReadingWish, Sampling, StreamOptions, Strict

_NO_EFFECT = "Accepted without effect."
_NEUTRAL = "Accepted at this value only, where it has no effect."
Empty = Annotated[list[Any], Field(max_length=0)]


class TextFormat(Strict):
    """The only format there is."""

    type: Literal["text"]


class ChatRequest(Sampling):
    """OpenAI's fields, and three of our own: `top_k`, `ignore_eos` and `clinical`. Others are refused."""

    model: str = Field(max_length=200)
    messages: list[Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(None, ge=1, le=1_000_000, description="as max_tokens")
    logprobs: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    clinical: ReadingWish | None = Field(None, description="frame and window for the DICOM images")

    user: str | None = Field(None, description=_NO_EFFECT)
    store: bool | None = Field(None, description=f"{_NO_EFFECT} Nothing is stored.")
    metadata: dict[str, str] | None = Field(None, description=_NO_EFFECT)
    service_tier: str | None = Field(None, description=_NO_EFFECT)
    parallel_tool_calls: bool | None = Field(None, description=_NO_EFFECT)
    prompt_cache_key: str | None = Field(None, description=_NO_EFFECT)
    prompt_cache_retention: str | None = Field(None, description=_NO_EFFECT)
    prompt_cache_options: dict[str, Any] | None = Field(None, description=_NO_EFFECT)
    safety_identifier: str | None = Field(None, description=_NO_EFFECT)
    reasoning_effort: str | None = Field(None, description=_NO_EFFECT)
    verbosity: str | None = Field(None, description=_NO_EFFECT)

    n: Literal[1] | None = Field(None, description=_NEUTRAL)
    top_logprobs: Literal[0] | None = Field(None, description=_NEUTRAL)
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = Field(None, description=_NEUTRAL)
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = Field(None, description=_NEUTRAL)
    response_format: TextFormat | None = Field(None, description=_NEUTRAL)
    modalities: list[Literal["text"]] | None = Field(None, description=_NEUTRAL)
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = Field(None, description=_NEUTRAL)
    tools: Empty | None = Field(None, description=_NEUTRAL)
    tool_choice: Literal["none"] | None = Field(None, description=_NEUTRAL)

    @model_validator(mode="after")
    def _check_max_tokens(self) -> "ChatRequest":
        if None not in (self.max_tokens, self.max_completion_tokens) and (
            self.max_tokens != self.max_completion_tokens
        ):
            raise ValueError("max_tokens and max_completion_tokens contradict each other")
        return self

    def sampling(self) -> dict[str, Any]:
        """For the engine: only what was given."""
        given = super().sampling()
        if self.max_completion_tokens is not None:
            given["max_tokens"] = self.max_completion_tokens
        return {**given, "logprobs": True} if self.logprobs else given

"""What may be asked in JSON: OpenAI's chat completions with images, and our shorter way of asking."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from radserve_imaging import CT_PRESETS
from radserve_server.uids import MOST_CHARACTERS, PATTERN

MAX_MESSAGES = 256


class Strict(BaseModel):
    """Unknown fields are refused by name, and "3" is not 3."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WindowWish(Strict):
    """A window over modality values (HU for CT), DICOM PS3.3 C.11.2."""

    center: float
    width: float
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"


class SlicesWish(Strict):
    """Which slices of a series, or frames of an object, are shown; counted from 1 along the stack's normal."""

    choose: Literal["uniform", "range", "around"] = "uniform"
    count: int | None = Field(None, ge=1, le=1024, description="how many, evenly spread")
    first: int | None = Field(None, ge=1, description="of a range")
    last: int | None = Field(None, ge=1, description="of a range")
    at: int | None = Field(None, ge=1, description="the slice to show with its neighbours")
    neighbours: int | None = Field(None, ge=0, le=511, description="on either side of it")


def _window_kind(value: Any) -> str:
    return "~preset" if isinstance(value, str) else "~window"


WindowOrPreset = Annotated[
    Annotated[WindowWish, Tag("~window")] | Annotated[Literal[*CT_PRESETS], Tag("~preset")],  # type: ignore[valid-type]
    Discriminator(_window_kind),
]


Uid = Annotated[str, Field(pattern=f"^{PATTERN}$", max_length=MOST_CHARACTERS)]


class DicomReference(Strict):
    """Images that lie in a PACS: a whole study or series, or instances of it."""

    study: Uid = Field(description="Study Instance UID")
    series: Uid | None = Field(None, description="Series Instance UID; default: the one with most images")
    instances: list[Uid] = Field(
        default_factory=list, max_length=64, description="SOP Instance UIDs; default: all"
    )
    frames: list[Annotated[int, Field(ge=1)]] = Field(
        default_factory=list, max_length=64, description="of each instance, counted from 1"
    )
    pacs: str | None = Field(
        None, max_length=100, description="its configured name; default: the one there is"
    )
    window: WindowOrPreset | None = Field(None, description="of these images, instead of the request's")

    @model_validator(mode="after")
    def _check_frames(self) -> Self:
        if self.frames and not self.instances:
            raise ValueError("frames goes with instances; of a series, slices says which are shown")
        return self


class ReadingWish(Strict):
    """How to read the DICOM images of a question."""

    frame: int | None = Field(None, ge=1, description="frame, counted from 1; default: as the policy says")
    window: WindowOrPreset | None = Field(
        None, description="a window or a CT preset's name; default: as the engine's image policy says"
    )
    slices: SlicesWish | None = Field(None, description="default: as the engine's image policy says")
    overlays: bool | None = Field(None, description="draw overlay planes; they are left out by default")
    presentation_state: str | None = Field(
        None, max_length=100, description="id of an uploaded Grayscale Softcopy Presentation State"
    )

    def is_empty(self) -> bool:
        """Whether nothing is wished."""
        return all(getattr(self, name) is None for name in ReadingWish.model_fields)

    @model_validator(mode="after")
    def _check_frame(self) -> Self:
        if self.frame is not None and self.slices is not None:
            raise ValueError("frame and slices contradict each other")
        return self


class Sampling(Strict):
    """How to choose tokens; what is left out is as the engine's manifest says."""

    max_tokens: int | None = Field(None, ge=1, le=1_000_000, description="longest answer")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False, description="0 is greedy")
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(None, ge=1, le=1_000_000)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: str | list[str] | None = Field(None, description="up to four texts that end the answer")
    ignore_eos: bool | None = Field(None, description="go on to max_tokens; for benchmarks")

    def stops(self) -> list[str]:
        """As a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    @model_validator(mode="after")
    def _check_stops(self) -> "Sampling":
        if len(self.stops()) > 4 or not all(0 < len(text) <= 256 for text in self.stops()):
            raise ValueError("stop must be one to four texts of 1 to 256 characters")
        return self

    def sampling(self) -> dict[str, Any]:
        """For the engine: only what was given."""
        names = ("max_tokens", "temperature", "top_p", "top_k", "seed", "ignore_eos")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return {**given, "stop": self.stops()} if self.stops() else given


class TextPart(Strict):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """`url`: a `data:` URI of image/png, image/jpeg or application/dicom, `radserve://images/<image_id>`,
    or `radserve://series/<series_id>`.
    """

    url: str
    detail: Literal["auto", "low", "high"] | None = Field(None, description="accepted; the policy decides")


class ImagePart(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class DicomPart(Strict):
    """Images that lie in a PACS."""

    type: Literal["image_dicom"]
    image_dicom: DicomReference


class OtherPart(BaseModel):
    """A part of another type; refused by name."""

    model_config = ConfigDict(extra="allow")

    type: str

    @model_validator(mode="after")
    def _refuse(self) -> "OtherPart":
        raise ValueError("a part's type must be text, image_url or image_dicom")


def _part_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return {"text": "~text", "image_url": "~image", "image_dicom": "~dicom"}.get(str(kind), "~other")


def _content_kind(value: Any) -> str:
    return "~parts" if isinstance(value, list) else "~string"


Part = Annotated[
    Annotated[TextPart, Tag("~text")]
    | Annotated[ImagePart, Tag("~image")]
    | Annotated[DicomPart, Tag("~dicom")]
    | Annotated[OtherPart, Tag("~other")],
    Discriminator(_part_kind),
]
Content = Annotated[
    Annotated[str, Tag("~string")] | Annotated[list[Part], Tag("~parts")], Discriminator(_content_kind)
]


class Message(Strict):
    """One turn. What the SDKs' own assistant messages carry besides is accepted as long as it is empty."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None


class StreamOptions(Strict):
    """`include_usage` asks for a last chunk with the token counts."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = Field(None, description="accepted; there is no obfuscation")

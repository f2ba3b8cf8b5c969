"""What an engine may lose against the unquantized checkpoint and still pass."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from radserve_engines.errors import BuildRefused


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Points are per cent of accuracy, one-sided: an engine may be better. Raises BuildRefused naming a bad field.

    `modality_points` holds for a modality with at least `modality_questions`; `flips_percent` is the greatest share
    of answers that differ; `sensitivity_share` is the least share of the checkpoint's own sensitivity to the image
    (answers that change when images are swapped, and when they are blank); `repetition_points` is how many more
    answers in a hundred may repeat themselves. With fewer than `least_questions` or `least_images` nothing can be
    told, and the gate fails.
    """

    overall_points: float = 1.0
    modality_points: float = 2.0
    modality_questions: int = 100
    flips_percent: float = 5.0
    sensitivity_share: float = 0.8
    repetition_points: float = 1.0
    least_questions: int = 200
    least_images: int = 30

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value < 0:
                raise BuildRefused(f"threshold {name} must be a number of at least 0, not {value!r}")
        if self.sensitivity_share > 1:
            raise BuildRefused(f"threshold sensitivity_share is a share of 1, not {self.sensitivity_share!r}")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Thresholds":
        """Absent fields take their defaults. Raises BuildRefused naming an unknown or ill one."""
        if not isinstance(value, Mapping):
            raise BuildRefused(f"thresholds must be a JSON object, not {value!r}")
        known = [field.name for field in fields(cls)]
        for name in value:
            if name not in known:
                raise BuildRefused(f"threshold {name!r} is not known; known: {', '.join(known)}")
        return cls(**value)

    def to_json(self) -> dict[str, float]:
        """As JSON values; `from_json` gives the same back."""
        return asdict(self)

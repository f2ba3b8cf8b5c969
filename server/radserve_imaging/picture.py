"""What passes from decoding to layout: what the reader asked for, and one frame made visible."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radserve_imaging.record import NamedUid, Rescale, VoiRecord
from radserve_imaging.windowing import Window


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader asks for: a frame, counted from 1 as DICOM does, a window, overlay planes drawn.

    `presentation_state` holds the bytes of a Grayscale Softcopy Presentation State.
    """

    frame: int | None = None
    window: Window | None = None
    overlays: bool = False
    presentation_state: bytes | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Which kind of object a frame came from; all None for PNG and JPEG."""

    sop_class: NamedUid | None = None
    sop_instance_uid_sha256: str | None = None
    modality: str | None = None
    transfer_syntax: NamedUid | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """`pixels` in the frame's own size, (H, W) grey or (H, W, 3) RGB uint8, and what made them so."""

    pixels: NDArray[np.uint8]
    inverted: bool = False
    rescale: Rescale | None = None
    voi: VoiRecord | None = None
    warnings: tuple[str, ...] = ()
    presentation_state_sha256: str | None = None
    overlays: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """One frame made visible, and what the record says of where it came from.

    `frame_size` is its true (width, height) in px, None where `shown` has it; with wavelet `levels` left out,
    `shown` has 2 ** levels times fewer px on a side.
    """

    shown: Shown
    photometric_interpretation: str
    origin: Origin = Origin()
    frame: int = 1
    number_of_frames: int = 1
    pixel_aspect: float = 1.0
    warnings: tuple[str, ...] = ()
    frame_size: tuple[int, int] | None = None
    levels: int = 0

    @property
    def decoded_size(self) -> tuple[int, int]:
        """(width, height) in px of the pixels that are there."""
        height, width = self.shown.pixels.shape[:2]
        return width, height

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px of the frame itself."""
        return self.frame_size or self.decoded_size

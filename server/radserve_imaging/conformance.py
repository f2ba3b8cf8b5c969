"""What this package supports, statement by statement: the skeleton of docs/conformance.md.

Where a list exists in the code, it is taken from there. Tests name the statements that they check by `key`, and a
statement without a test, or a test of no statement, fails the suite.
"""

from dataclasses import dataclass
from typing import get_args

from radserve_imaging.syntaxes import DECODED, family_of, name_uid
from radserve_imaging.windowing import CT_PRESETS, WindowFunction


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that is supported, or refused: under which heading, its key, its name, and how."""

    section: str
    key: str
    name: str
    how: str


_DECODERS = {
    "native": "numpy, in place",
    "rle": "segments checked, then imagecodecs' PackBits",
    "jpeg": "imagecodecs (libjpeg-turbo)",
    "jpeg-lossless": "imagecodecs (libjpeg-turbo)",
    "jpeg-ls": "imagecodecs (CharLS)",
    "jpeg2000": "imagecodecs (OpenJPEG); at reduced resolution Pillow (OpenJPEG)",
}

_OBJECTS = (
    ("CT", "HU by rescale; policy's window, windows in RGB, or the file's"),
    ("MR", "the file's window or percentiles over the volume"),
    ("CR", "VOI LUT or window, MONOCHROME1 inverted, pixel aspect of the detector"),
    ("DX", "as CR"),
    ("MG", "as CR"),
    ("US", "colour and palette as they are; single frames and cine"),
    ("XA", "the file's window or the full range"),
    ("RF", "as XA"),
    ("PT", "SUVbw where the header allows, else the file's window"),
    ("NM", "the file's window or the full range of the volume"),
    ("OT", "secondary captures, grey and colour, as they are"),
    ("enhanced", "Enhanced and Legacy Converted multi-frame objects, by their functional groups"),
    ("presentation state", "Grayscale Softcopy: modality, VOI and polarity; the rest is told"),
)

_PHOTOMETRIC = (
    ("MONOCHROME1", "inverted after the VOI"),
    ("MONOCHROME2", "as it is"),
    ("PALETTE COLOR", "plain and segmented palettes"),
    ("RGB", "interleaved and planar"),
    ("YBR_FULL", "by the matrix of C.7.6.3.1.2"),
    ("YBR_FULL_422", "native with shared chroma, and in JPEG"),
    ("YBR_RCT", "undone by the codestream"),
    ("YBR_ICT", "undone by the codestream"),
)

_VOI = (
    ("request", "the reader's own window, or a preset"),
    ("presentation state", "VOI LUT or window of a presentation state that comes with the request"),
    ("VOI LUT Sequence", "the first, signed or unsigned, before any window"),
    *((name, "the file's first window") for name in get_args(WindowFunction)),
    ("presets", ", ".join(f"{name} {w.center:g}/{w.width:g}" for name, w in CT_PRESETS.items())),
    ("channels", "three CT windows as red, green and blue"),
    ("percentiles", "MR, over frame or volume, without padding"),
    ("SUV", "PET by body weight"),
    ("full range", "what has neither window nor rule"),
)

_PIXELS = (
    (
        "1 to 64 bits",
        "1, 8, 16, 32 and 64 bits allocated, packed odd sizes, signed and unsigned, float and double",
    ),
    ("sign and high bit", "stored bits end at the high bit; the sign is extended"),
    ("modality LUT", "rescale or Modality LUT Sequence, in float64"),
    ("padding", "Pixel Padding Value and Range: uncounted, and black"),
    ("overlays", "left out unless asked for"),
    ("aspect", "Pixel Spacing, Imager Pixel Spacing, Pixel Aspect Ratio"),
    ("resize", "antialiased"),
    ("reduced resolution", "large JPEG 2000 and HTJ2K, where the canvas needs less; never for CT"),
)

_SERIES = (
    ("order", "along row × column, whatever names, numbers and arrival"),
    ("split", "by series, size, orientation, echo; by acquisition and time where places repeat"),
    ("left out", "localizers and derived images, where there are others"),
    ("warnings", "missing slices, varying distances, gantry tilt"),
    ("choice", "uniform, a range, or one and its neighbours; frames of a cine likewise"),
    ("montage", "several slices on one canvas"),
    ("memory", "that of the chosen slices"),
)

_REFUSED = (
    ("other syntaxes", "MPEG, JPEG XL, JPIP, deflated frames: `unsupported_transfer_syntax`"),
    ("no pixels", "reports, structure sets, waveforms: `no_pixel_data`"),
    ("damage", "cut off, contradicting its header, or over a limit: before decoding, by its name"),
)


def statements() -> list[Statement]:
    """All statements, in the order of the page."""
    found = [
        Statement("Transfer syntaxes", uid, name_uid(uid).name, _DECODERS[family_of(uid)]) for uid in DECODED
    ]
    for section, rows in (
        ("Objects", _OBJECTS),
        ("Photometric interpretations", _PHOTOMETRIC),
        ("Values of interest", _VOI),
        ("Pixels", _PIXELS),
        ("Series and frames", _SERIES),
        ("Refused, with a code", _REFUSED),
    ):
        found += [Statement(section, f"{section}: {name}", name, how) for name, how in rows]
    return found

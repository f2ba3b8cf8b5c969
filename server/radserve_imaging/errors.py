"""What can be wrong with an image, as one tree. Each is the caller's to mend, so each maps to HTTP 4xx.

ImagingError
├── NotAnImageError                 not_an_image
├── TruncatedDicomError             truncated_dicom
├── MalformedDicomError             malformed_dicom
├── NoPixelDataError                no_pixel_data
├── MissingAttributeError           missing_attribute
├── InvalidAttributeError           invalid_attribute
├── UnsupportedTransferSyntaxError  unsupported_transfer_syntax
├── UnsupportedPhotometricError     unsupported_photometric
├── UnsupportedPixelFormatError     unsupported_pixel_format
├── CorruptPixelDataError           corrupt_pixel_data
├── TooLargeError                   too_large
├── InvalidFrameError               invalid_frame
├── InvalidSlicesError              invalid_slices
├── InvalidWindowError              invalid_window
├── PresentationStateError          invalid_presentation_state
├── NoSeriesError                   no_series
├── PolicyError                     invalid_policy
└── RecordError                     invalid_record
"""

from typing import ClassVar


class ImagingError(Exception):
    """An image, a policy or a request that cannot be rendered; the message says why and what would help.

    `code` is stable and meant for programs. `tag` names the DICOM attribute at fault, as in
    "(0028,0010) Rows", or is None.
    """

    code: ClassVar[str] = "imaging_error"

    def __init__(self, message: str, *, tag: str | None = None) -> None:
        super().__init__(message if tag is None or tag in message else f"{tag}: {message}")
        self.tag = tag


class NotAnImageError(ImagingError):
    """Neither DICOM nor PNG nor JPEG."""

    code = "not_an_image"


class TruncatedDicomError(ImagingError):
    """The file ends before its own lengths say it should."""

    code = "truncated_dicom"


class MalformedDicomError(ImagingError):
    """The file's structure contradicts PS3.5 or PS3.10."""

    code = "malformed_dicom"


class NoPixelDataError(ImagingError):
    """A DICOM object without an image: a report, a structure set, an empty Pixel Data element."""

    code = "no_pixel_data"


class MissingAttributeError(ImagingError):
    """An attribute without which the pixels cannot be read is absent or empty."""

    code = "missing_attribute"


class InvalidAttributeError(ImagingError):
    """An attribute is there, but its value makes no sense."""

    code = "invalid_attribute"


class UnsupportedTransferSyntaxError(ImagingError):
    """No decoder for this transfer syntax."""

    code = "unsupported_transfer_syntax"


class UnsupportedPhotometricError(ImagingError):
    """No rule for turning this photometric interpretation into grey or RGB."""

    code = "unsupported_photometric"


class UnsupportedPixelFormatError(ImagingError):
    """A combination of bits, samples and layout that is legal perhaps, but not rendered here."""

    code = "unsupported_pixel_format"


class CorruptPixelDataError(ImagingError):
    """The pixels are cut off, or contradict the header that describes them."""

    code = "corrupt_pixel_data"


class TooLargeError(ImagingError):
    """Over one of the limits, found before anything was decoded."""

    code = "too_large"


class InvalidFrameError(ImagingError):
    """A frame was asked for that the image does not have."""

    code = "invalid_frame"


class InvalidSlicesError(ImagingError):
    """Slices were asked for that the stack does not have."""

    code = "invalid_slices"


class InvalidWindowError(ImagingError):
    """A window that PS3.3 C.11.2 does not allow, or that cannot apply to this image."""

    code = "invalid_window"


class PresentationStateError(ImagingError):
    """Not a grayscale softcopy presentation state, or one of other images."""

    code = "invalid_presentation_state"


class NoSeriesError(ImagingError):
    """Among the images there is no stack that could be shown as one."""

    code = "no_series"


class PolicyError(ImagingError):
    """An image policy with an unknown, ill-typed or impossible field."""

    code = "invalid_policy"


class RecordError(ImagingError):
    """A stored rendering record that is not one."""

    code = "invalid_record"

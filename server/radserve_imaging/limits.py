"""How large an input may be; every limit is checked against headers, before anything is decoded."""

from dataclasses import dataclass

from radserve_imaging.errors import TooLargeError


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds on one input. The defaults admit every projection X-ray in clinical use."""

    max_bytes: int = 512 * 2**20
    max_inflated_bytes: int = 256 * 2**20
    max_pixels: int = 64 * 10**6
    max_side: int = 20_000
    max_frames: int = 20_000
    max_nesting: int = 32
    max_elements: int = 2_000_000

    def check_bytes(self, size: int) -> None:
        """Refuse an input of more than `max_bytes`."""
        if size > self.max_bytes:
            raise TooLargeError(f"the file has {size:,} bytes; at most {self.max_bytes:,} are accepted")

    def check_frame(self, width: int, height: int, tag: str | None = None) -> None:
        """Refuse a frame of too many pixels, or too long a side (px)."""
        if max(width, height) > self.max_side or width * height > self.max_pixels:
            raise TooLargeError(
                f"the image declares {width} × {height} pixels; at most {self.max_pixels:,} pixels and "
                f"{self.max_side:,} on a side are accepted. Send a smaller or cropped image",
                tag=tag,
            )

    def check_frames(self, count: int, tag: str | None = None) -> None:
        """Refuse an object of too many frames."""
        if count > self.max_frames:
            raise TooLargeError(
                f"the object declares {count:,} frames; at most {self.max_frames:,} are accepted", tag=tag
            )


DEFAULT_LIMITS = Limits()

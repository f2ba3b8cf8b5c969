"""Where the time of an image goes between its bytes and its pixels."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageTimes:
    """Seconds: the wait for an archive, for a decoding worker, the codec's work, all else until the pixels are back.

    `fetch` comes before all others and is no part of `total`. `render` is windows, resizing and digests, and the way
    to the worker and back. All are 0 for what was known.
    """

    wait: float = 0.0
    decode: float = 0.0
    render: float = 0.0
    fetch: float = 0.0

    @property
    def total(self) -> float:
        """From the job's arrival to its end."""
        return self.wait + self.decode + self.render

    def to_ms(self) -> dict[str, float]:
        """As they stand under `timings`."""
        named = {"image_wait_ms": self.wait, "image_decode_ms": self.decode, "image_render_ms": self.render}
        return {name: seconds * 1000 for name, seconds in named.items()}


NO_TIME = ImageTimes()


def split_job(wait_s: float, job_s: float, told_decode_s: float) -> ImageTimes:
    """A worker's word on its decoding counts only within the time that its job took."""
    decode_s = min(max(0.0, told_decode_s), job_s)
    return ImageTimes(wait_s, decode_s, job_s - decode_s)


def last_to_end(times: Iterable[ImageTimes]) -> ImageTimes:
    """Of jobs that arrived together, the one that all the others' pixels waited for."""
    return max(times, key=lambda one: one.total, default=NO_TIME)

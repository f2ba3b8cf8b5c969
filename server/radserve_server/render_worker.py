"""The process that decodes what strangers send: limited memory, no network code, replaced when it dies.

Started by worker_pool with three open files: a socket that carries one JSON line for a job and one for its
outcome, and two anonymous memory files, one for the bytes of the files and one for the pixels.
"""

import json
import logging
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from radserve_imaging import (
    ImagePolicy,
    ImagingError,
    Limits,
    Montage,
    Reading,
    Rendering,
    SliceChoice,
    StackPlan,
    Window,
    count_frames,
    encode_png,
    is_presentation_state,
    list_planes,
    render,
    render_object,
    render_plan,
    sniff,
    timing_decoding,
)
from radserve_server.memory_files import read_file, write_file

_LOG = logging.getLogger(__name__)
_ONE_PIXEL_POLICY = ImagePolicy(width=1, height=1)
_NICENESS = 5


def main(arguments: list[str]) -> None:
    """Serve jobs until the gateway closes the socket."""
    control, source, target, memory = (int(argument) for argument in arguments)
    os.nice(_NICENESS)  # the gateway's event loop and the engine come first
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the gateway decides
    _warm_up()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with socket.socket(fileno=control) as channel, channel.makefile("rwb") as lines:
        _say(lines, {"ready": True})
        for line in lines:
            _say(lines, _answer(json.loads(line), source, target))


def _answer(job: dict[str, Any], source: int, target: int) -> dict[str, Any]:
    try:
        with timing_decoding() as stopwatch:
            outcome = _render(job, Parts(source, job["sizes"]), target)
        return {**outcome, "decode_s": stopwatch.seconds}
    except ImagingError as error:
        return {"error": {"code": error.code, "message": str(error), "tag": error.tag}}
    except MemoryError:
        message = "decoding this image takes more memory than it may have; send a smaller or cropped image"
        return {"error": {"code": "too_large", "message": message, "tag": None}}
    except Exception as error:  # the process's edge: a decoder's surprise must not take the worker down
        # The frames without the message, which may quote what is in the file.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _LOG.error("decoding failed with %s\n%s", type(error).__name__, frames)
        message = f"the decoder failed on this image ({type(error).__name__})"
        return {"error": {"code": "decoder_failed", "message": message, "tag": None}}


class Parts:
    """The files of a job in the memory file `source`, one after another; each is read when it is asked for."""

    def __init__(self, source: int, sizes: list[int]) -> None:
        self._source = source
        self._sizes = sizes
        self._last: tuple[int, bytes] | None = None

    def read(self, index: int) -> bytes:
        """The bytes of file `index`; negative ones count from the last."""
        index %= len(self._sizes)
        if self._last is None or self._last[0] != index:
            self._last = None  # two at once would be twice the memory
            self._last = index, read_file(self._source, self._sizes[index], sum(self._sizes[:index]))
        return self._last[1]


def _render(job: dict[str, Any], parts: Parts, target: int) -> dict[str, Any]:
    """`images`: record, shape and size of each, whose bytes follow each other in `target`."""
    policy, limits = _settings(json.dumps(job["policy"]), job["max_bytes"])
    if job["examine"] and _is_presentation_state(parts, limits):
        return {"images": [], "size": 0, "plane": None}
    images, encoded = [], []
    for rendering in _show(job, parts, policy, limits):
        pixels = rendering.pixels
        encoded.append(pixels.tobytes())
        images.append(
            {"record": rendering.record.to_json(), "shape": list(pixels.shape), "size": len(encoded[-1])}
        )
    write_file(target, encoded)
    outcome: dict[str, Any] = {"images": images, "size": sum(len(item) for item in encoded)}
    return {**outcome, "plane": _plane(parts, limits)} if job["examine"] else outcome


def _show(
    job: dict[str, Any], parts: Parts, policy: ImagePolicy, limits: Limits
) -> Sequence[Rendering | Montage]:
    state = parts.read(-1) if job["state"] else None
    window = None if job["window"] is None else Window.from_json(job["window"])
    reading = Reading(job["frame"], window, job["overlays"], state)
    if job["plan"] is not None:
        plan = StackPlan.from_json(job["plan"])
        places = {file: index for index, file in enumerate(plan.files())}
        return render_plan(lambda file: parts.read(places[file]), plan, policy, reading, limits)
    choice = None if job["choice"] is None else SliceChoice.from_json(job["choice"])
    return render_object(parts.read(0), policy, reading, limits, choice)


def _is_presentation_state(parts: Parts, limits: Limits) -> bool:
    data = parts.read(0)
    return sniff(data) == "application/dicom" and is_presentation_state(data, limits)


def _plane(parts: Parts, limits: Limits) -> dict[str, Any] | None:
    """Where an image of one frame lies, so that it can be sorted into a series."""
    data = parts.read(0)
    if sniff(data) != "application/dicom" or count_frames(data, limits) != 1:
        return None
    return list_planes(data, limits)[0].to_json()


@lru_cache(maxsize=8)
def _settings(policy: str, max_bytes: int) -> tuple[ImagePolicy, Limits]:
    return ImagePolicy.from_json(json.loads(policy)), Limits(max_bytes=max_bytes)


def _warm_up() -> None:
    """Load the codecs' libraries before the first image does."""
    import numpy as np

    render(encode_png(np.zeros((1, 1, 3), np.uint8)), _ONE_PIXEL_POLICY)


def _say(lines: Any, value: dict[str, Any]) -> None:
    lines.write(json.dumps(value).encode() + b"\n")
    lines.flush()


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    main(sys.argv[1:])

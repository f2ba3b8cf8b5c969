"""The process that decodes what strangers send: limited memory, no network code, replaced when it dies.

Started by worker_pool with three open files: a socket that carries one JSON line for a job and one for its
outcome, and two anonymous memory files, one for the image's bytes and one for the pixels.
"""

import ctypes
import json
import logging
import os
import resource
import signal
import socket
import sys
import traceback
from functools import lru_cache
from typing import Any

from radserve_imaging import ImagePolicy, ImagingError, Limits, Reading, Window, encode_png, render
from radserve_server.memory_files import read_file, write_file

_LOG = logging.getLogger(__name__)
_ONE_PIXEL_POLICY = ImagePolicy(width=1, height=1)
_NICENESS = 5
_KEPT_BYTES = 256 * 2**20
_PAGE = resource.getpagesize()


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
            _give_back_memory()


def _answer(job: dict[str, Any], source: int, target: int) -> dict[str, Any]:
    try:
        data = read_file(source, job["size"])
        return _render(data, job, target)
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


def _render(data: bytes, job: dict[str, Any], target: int) -> dict[str, Any]:
    policy, limits = _settings(json.dumps(job["policy"]), job["max_bytes"])
    window = None if job["window"] is None else Window.from_json(job["window"])
    rendering = render(data, policy, Reading(job["frame"], window), limits)
    pixels = rendering.pixels
    out = encode_png(pixels) if job["png"] else pixels.tobytes()
    write_file(target, out)
    return {"record": rendering.record.to_json(), "shape": list(pixels.shape), "size": len(out)}


def _give_back_memory() -> None:
    """malloc keeps what a large image took; the next large one may be days away."""
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * _PAGE
    if resident > _KEPT_BYTES:
        ctypes.CDLL(None).malloc_trim(0)


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

"""The options of `ask` and `render` that say how to read an image, and the request's fields they become."""

import argparse
from pathlib import Path
from typing import Any

from radserve_client.client import AsyncClient
from radserve_client.errors import RadserveError


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """Frame, window, slices, overlays, presentation state."""
    parser.add_argument("--frame", type=int, help="frame of a multi-frame image, from 1")
    parser.add_argument(
        "--window",
        nargs="+",
        metavar=("CENTER|PRESET", "WIDTH"),
        help="the reader's own window: centre and width, or brain, subdural, stroke, lung, mediastinum, abdomen, "
        "liver, bone",
    )
    parser.add_argument("--slices", type=int, metavar="N", help="so many slices of a series, evenly spread")
    parser.add_argument(
        "--between", type=int, nargs=2, metavar=("FIRST", "LAST"), help="of these slices only"
    )
    parser.add_argument("--slice", type=int, metavar="N", help="this slice of a series, from 1")
    parser.add_argument("--neighbours", type=int, metavar="N", help="and so many on either side of it")
    parser.add_argument("--series", type=int, default=1, metavar="N", help="which series of a folder, from 1")
    parser.add_argument("--overlays", action="store_true", help="draw the overlay planes")
    parser.add_argument(
        "--presentation-state", type=Path, metavar="FILE", help="a Grayscale Softcopy Presentation State"
    )


async def read_wishes(given: argparse.Namespace, client: AsyncClient) -> dict[str, Any]:
    """The fields of a request; uploads the presentation state."""
    wishes: dict[str, Any] = {"frame": given.frame, "slices": _slices(given), "window": _window(given)}
    if given.overlays:
        wishes["overlays"] = True
    if given.presentation_state is not None:
        wishes["presentation_state"] = await client.upload(given.presentation_state)
    return {name: value for name, value in wishes.items() if value is not None}


def _window(given: argparse.Namespace) -> Any:
    if given.window is None:
        return None
    if len(given.window) == 1 and not _is_number(given.window[0]):
        return given.window[0]
    if len(given.window) != 2 or not all(map(_is_number, given.window)):
        raise RadserveError("--window takes a centre and a width, or the name of a preset")
    return dict(zip(("center", "width"), map(float, given.window), strict=True))


def _slices(given: argparse.Namespace) -> dict[str, Any] | None:
    if given.slice is not None or given.neighbours is not None:
        if given.slices is not None or given.between is not None:
            raise RadserveError("--slice and --neighbours do not go with --slices and --between")
        around = {"choose": "around", "at": given.slice, "neighbours": given.neighbours}
        return {name: value for name, value in around.items() if value is not None}
    if given.between is not None:
        first, last = given.between
        return {"choose": "range", "first": first, "last": last, "count": given.slices or last - first + 1}
    return None if given.slices is None else {"choose": "uniform", "count": given.slices}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

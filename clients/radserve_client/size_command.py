"""`radserve size …`: how many gateway cores and GPUs so many studies an hour need."""

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radserve_client.engine_errors import told_as
from radserve_client.errors import RadserveError
from radserve_client.numbers import image_size, positive, positive_number


def add_size_word(words: Any) -> None:
    """Add `size` to what can follow `radserve`."""
    size = words.add_parser(
        "size", help="gateway cores and GPUs for so many studies an hour, before anything is bought"
    )
    size.set_defaults(run=_size, extra="bench")
    add = size.add_argument
    add("--studies-per-hour", type=positive_number, required=True, metavar="N", help="the mean of a day")
    add(
        "--mix",
        type=_mix,
        metavar="KIND=SHARE,…",
        help="of png, ct, ct-j2k, xray, xray-j2k, series and xray-j2k-small; the shares add up to 1",
    )
    add("--questions", type=positive, default=3, metavar="N", help="a study (default: 3)")
    add("--answer-tokens", type=positive, default=64, metavar="N", help="default: 64")
    add(
        "--busy-hour-factor",
        type=positive_number,
        default=2.0,
        metavar="F",
        help="how many times as many studies the busiest hour has (default: 2)",
    )
    add(
        "--model",
        default="qwen2.5-vl-7b",
        help="checkpoint folder, config.json or name (default: %(default)s)",
    )
    add("--gpu", default="H100", metavar="NAME", help="default: %(default)s")
    add("--precision", default="fp8", metavar="NAME", help="default: %(default)s")
    add(
        "--image",
        type=image_size,
        default=(896, 896),
        metavar="WxH",
        help="the model sees (default: 896x896)",
    )
    add("--price-per-gpu-hour", type=positive_number, metavar="PRICE", help="in any currency")
    add("--limits", type=Path, metavar="FILE", help="your own gateway-limits.json (default: ours)")
    add("--json", action="store_true", help="unrounded, for programs")


def _size(given: argparse.Namespace) -> None:
    from radserve_bench.sizing.reckoning import MIX, Need, engine_of, read_limits, size
    from radserve_bench.sizing.report import json_report, text_report

    need = Need(
        given.studies_per_hour,
        given.mix or MIX,
        given.questions,
        given.answer_tokens,
        given.busy_hour_factor,
    )
    with told_as(), _bench_errors():
        engine = engine_of(given.model, given.gpu, given.precision, given.image)
        sizing = size(need, engine, read_limits(given.limits))
    price = given.price_per_gpu_hour
    print(json.dumps(json_report(sizing, price), indent=2) if given.json else text_report(sizing, price))


@contextmanager
def _bench_errors() -> Iterator[None]:
    """The benchmark's errors become the command's own."""
    from radserve_bench.errors import BenchError

    try:
        yield
    except BenchError as error:
        raise RadserveError(str(error)) from error


def _mix(text: str) -> Mapping[str, float]:
    """`ct=0.5,xray=0.5`; which kinds there are, and that the shares add up, is checked where they are used."""
    mix: dict[str, float] = {}
    for item in text.split(","):
        key, _, share = item.partition("=")
        try:
            mix[key.strip()] = float(share)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{item!r} is not KIND=SHARE, such as ct=0.5") from None
    return mix

"""The `radserve` command: what each word means, and how a failure is told."""

import argparse
import asyncio
import io
import os
import sys
from pathlib import Path
from typing import Any

from radserve_client.bench_command import add_bench_word
from radserve_client.client import DEFAULT_URL, AsyncClient
from radserve_client.engine_command import add_engine_word
from radserve_client.errors import ApiError, RadserveError
from radserve_client.gathering import gather
from radserve_client.ohif_command import add_ohif_word
from radserve_client.progress import Progress
from radserve_client.size_command import add_size_word
from radserve_client.telling import ask_aloud, tell_record, tell_warnings
from radserve_client.wishes import add_wishes, read_wishes


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is 0, 1 for a failure that was told, 2 for wrong usage, 130 for Ctrl-C, and
    141, as a shell has it, where whoever read its output left.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of ASCII gets ?, not a traceback
    given, rest = _parser().parse_known_args(arguments)
    if rest and given.run is not _up:
        _parser().error(f"unknown argument {rest[0]}")
    given.rest = rest
    try:
        status = int(given.run(given) or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # else Python's end would tell it again
        return 141
    except RadserveError as error:
        where = f" ({error.param})" if isinstance(error, ApiError) and error.param else ""
        print(f"radserve: {error}{where}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"radserve: {where}{error.strerror or error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        extra = getattr(given, "extra", "server,cpu")
        print(f"radserve: {error.name} is missing: pip install 'radserve[{extra}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="radserve", description="Ask a medical image a question.")
    words = parser.add_subparsers(required=True, metavar="COMMAND")
    up = words.add_parser("up", help="start Triton with an engine, and the gateway before it")
    up.add_argument("--engine", type=Path, help="engine folder (RADSERVE_ENGINE; default: the demo engine)")
    up.add_argument(
        "--trusted-keys",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="public key, or folder of keys, whose engines are served (RADSERVE_TRUSTED_KEYS)",
    )
    up.add_argument(
        "--allow-ungated",
        action="store_true",
        help="serve an engine that did not pass its gate; every answer says so (RADSERVE_ALLOW_UNGATED)",
    )
    up.epilog = "Further options go to the gateway: --host, --port, --api-keys-file, --insecure-open …"
    up.set_defaults(run=_up)
    ask = _asking(words, "ask", "ask a running server about images")
    ask.add_argument(
        "images", nargs="+", type=Path, metavar="FILE", help="DICOM, PNG or JPEG, or a folder of slices"
    )
    ask.add_argument("--question", "-q", required=True)
    ask.add_argument("--max-tokens", type=int)
    ask.add_argument("--record", action="store_true", help="print the rendering records as well")
    ask.set_defaults(run=_ask)
    render = _asking(words, "render", "show what the model would see of an image")
    render.add_argument("image", type=Path, metavar="FILE", help="DICOM, PNG or JPEG, or a folder of slices")
    render.add_argument("--out", type=Path, required=True, help="PNG to write; several are numbered")
    render.set_defaults(run=_render)
    inspect = words.add_parser("inspect", help="say what a file or folder is, how it would be shown, and why")
    inspect.add_argument("path", type=Path, metavar="FILE", help="DICOM, PNG or JPEG, or a folder of slices")
    inspect.add_argument("--engine", type=Path, help="engine whose image policy counts (default: the demo's)")
    inspect.add_argument("--json", action="store_true", help="as JSON")
    inspect.set_defaults(run=_inspect)
    demo = words.add_parser("demo", help="bring everything up, ask a real CT a few questions, and end")
    demo.add_argument("--image", type=Path, help="your own DICOM, PNG or JPEG instead of the sample CT")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="where the picture goes")
    demo.set_defaults(run=_demo)
    add_engine_word(words)
    add_bench_word(words)
    add_ohif_word(words)
    add_size_word(words)
    key = words.add_parser("key", help="make an API key; prints the key, and the line for the key file")
    key.add_argument("name", help="who the key is for")
    key.set_defaults(run=_key)
    words.add_parser("doctor", help="say what is missing on this machine").set_defaults(run=_doctor)
    return parser


def _asking(words: Any, name: str, help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = words.add_parser(name, help=help_text)
    parser.add_argument(
        "--url", default=os.environ.get("RADSERVE_URL", DEFAULT_URL), help="the server (RADSERVE_URL)"
    )
    add_wishes(parser)
    return parser


def _client(given: argparse.Namespace) -> AsyncClient:
    return AsyncClient(given.url, api_key=os.environ.get("RADSERVE_API_KEY"))


def _up(given: argparse.Namespace) -> None:
    from radserve_client.up import up

    up(given.engine, given.rest, trusted_keys=given.trusted_keys, allow_ungated=given.allow_ungated)


def _ask(given: argparse.Namespace) -> None:
    async def ask() -> None:
        async with _client(given) as client:
            with Progress("Sending"):
                image_ids, series_ids = await gather(client, given.images, given.series, _say)
                options = await read_wishes(given, client)
            if given.max_tokens is not None:
                options["max_tokens"] = given.max_tokens
            answer = await ask_aloud(client, image_ids, given.question, series_ids=series_ids, **options)
            tell_warnings(answer)
        for record in answer.clinical["images"] if given.record else ():
            tell_record(record)

    asyncio.run(ask())


def _render(given: argparse.Namespace) -> None:
    async def render() -> None:
        with Progress(f"Rendering {given.image.name}"):
            async with _client(given) as client:
                image_ids, series_ids = await gather(client, [given.image], given.series, _say)
                about = {"series_id": series_ids[0]} if series_ids else {"image_id": image_ids[0]}
                rendered = await client.render_about(**about, **await read_wishes(given, client))
        for number, image in enumerate(rendered, 1):
            out = given.out.with_stem(f"{given.out.stem}-{number}") if len(rendered) > 1 else given.out
            out.write_bytes(image.png)
            tell_record(image.record, indent="")
            print(f"written: {out}")

    asyncio.run(render())


def _inspect(given: argparse.Namespace) -> int:
    from radserve_client.inspection import inspect_path

    return inspect_path(given.path, given.engine, given.json)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _demo(given: argparse.Namespace) -> None:
    from radserve_client.demo import demo

    demo(given.image, given.out)


def _key(given: argparse.Namespace) -> None:
    from radserve_server.auth import hash_key, make_key

    key = make_key()
    print(f"key, shown only now:      {key}")
    print(f"line for --api-keys-file: {given.name}:{hash_key(key)}")


def _doctor(given: argparse.Namespace) -> int:
    from radserve_client.doctor import examine

    ill = 0
    for finding in examine():
        mark = "ok " if finding.well else "!! " if finding.needed else "-- "
        print(f"{mark} {finding.subject:<22} {finding.found}")
        if not finding.well:
            ill += finding.needed
            print(f"    → {finding.advice}")
    print("Nothing is missing that a server needs." if not ill else f"{ill} of these need attention.")
    return 1 if ill else 0

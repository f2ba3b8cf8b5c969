"""`radserve ohif`: the OHIF viewer with radserve's panel, before an archive and a gateway, from one address."""

import argparse
import os
from pathlib import Path
from typing import Any

from radserve_client.client import DEFAULT_URL
from radserve_client.errors import RadserveError
from radserve_client.numbers import whole
from radserve_client.ports import listen

_DESCRIPTION = """\
Serve OHIF with radserve's panel, the archive's DICOMweb under /dicom-web and
the gateway under /v1, all from one address. The viewer's files are fetched
once: radserve ohif --fetch (needs npm).
"""
_EPILOG = """\
RADSERVE_API_KEY, if set, is shown to the gateway instead of the browser's own
login. Other than on loopback the viewer asks for a login, with an API key of
--api-keys-file as the password, or is opened with --insecure-open.
"""


def add_ohif_word(words: Any) -> None:
    """Add `ohif` to the command's words."""
    ohif = words.add_parser(
        "ohif",
        help="serve the OHIF viewer with radserve's panel",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ohif.set_defaults(run=_run, extra="server")
    _add_parts(ohif.add_argument)
    _add_doors(ohif.add_argument)


def _add_parts(add: Any) -> None:
    server = os.environ.get("RADSERVE_URL", DEFAULT_URL)
    add("--fetch", action="store_true", help="fetch OHIF's files into --viewer, and end")
    add("--demo", action="store_true", help="start Orthanc and the demo engine as well, with sample studies")
    add("--study", type=Path, metavar="FOLDER", help="with --demo: your own DICOM instead of the samples")
    add(
        "--pacs",
        metavar="URL",
        help="the archive's DICOMweb address (RADSERVE_PACS_URL), or its name in --pacs-file",
    )
    add("--pacs-file", type=Path, metavar="FILE", help="the gateway's TOML file of PACS (RADSERVE_PACS_FILE)")
    add(
        "--pacs-name",
        metavar="NAME",
        help="what the gateway calls it (default: its name in the file, or pacs)",
    )
    add("--server", default=server, metavar="URL", help="the gateway (RADSERVE_URL)")
    add("--viewer", type=Path, metavar="FOLDER", help="OHIF's built files (default: .viewer)")


def _add_doors(add: Any) -> None:
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=whole, default=3000, help="port to listen on; 0 takes a free one")
    add(
        "--known-as",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that browsers may call it by",
    )
    add("--api-keys-file", type=Path, metavar="FILE", help="ask for a login with one of these keys")
    add("--insecure-open", action="store_true", help="listen on any address without a login")


def _run(given: argparse.Namespace) -> None:
    from radserve_server.viewer.bundle import default_folder

    folder = given.viewer or default_folder()
    if given.fetch:
        return _fetch(folder)
    if given.study is not None and not given.demo:
        raise RadserveError("--study goes with --demo: another archive holds its own studies")
    _serve(given, folder)


def _fetch(folder: Path) -> None:
    from radserve_server.viewer.bundle import OHIF, BundleError, fetch_viewer, is_there

    if not is_there(folder):
        print(f"Fetching OHIF {OHIF} …", flush=True)
        try:
            fetch_viewer(folder)
        except BundleError as error:
            raise RadserveError(str(error)) from error
    print(f"OHIF {OHIF} is in {folder}")


def _serve(given: argparse.Namespace, folder: Path) -> None:
    from radserve_client.reading_room import demonstrate, run_until_ended, show
    from radserve_client.viewer_options import read_options

    settings = read_options(given, folder)
    with listen(given.host, given.port) as listener:
        if given.demo:
            run_until_ended(demonstrate(settings, listener, given.study))
        else:
            run_until_ended(
                show(settings, listener, lambda address: print(f"viewer   {address}", flush=True))
            )

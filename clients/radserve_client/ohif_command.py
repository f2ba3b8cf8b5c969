"""`radserve ohif`: the OHIF viewer with radserve's panel, before an archive and a gateway, from one address."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radserve_client.client import DEFAULT_URL
from radserve_client.errors import RadserveError
from radserve_client.numbers import whole
from radserve_client.ports import listen

if TYPE_CHECKING:
    from radserve_server.viewer.settings import ViewerSettings

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
    ohif.set_defaults(run=_run, extra="server", refuse=ohif.error)
    add = ohif.add_argument
    add("--fetch", action="store_true", help="fetch OHIF's files into --viewer, and end")
    add("--demo", action="store_true", help="start Orthanc and the demo engine as well, with sample studies")
    add("--study", type=Path, metavar="FOLDER", help="with --demo: your own DICOM instead of the samples")
    add("--pacs", metavar="URL", help="the archive's DICOMweb address (RADSERVE_PACS_URL)")
    add("--pacs-name", default="pacs", metavar="NAME", help="what the gateway calls it (default: pacs)")
    add(
        "--server",
        default=os.environ.get("RADSERVE_URL", DEFAULT_URL),
        metavar="URL",
        help="the gateway (RADSERVE_URL)",
    )
    add("--viewer", type=Path, metavar="FOLDER", help="OHIF's built files (default: .viewer)")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=whole, default=3000, help="port to listen on; 0 takes a free one")
    add(
        "--known-as",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that browsers may call it by, as behind a proxy",
    )
    add("--api-keys-file", type=Path, metavar="FILE", help="ask for a login with one of these keys")
    add("--insecure-open", action="store_true", help="listen on any address without a login")


def _run(given: argparse.Namespace) -> None:
    from radserve_server.viewer.bundle import BundleError, default_folder, fetch_viewer

    folder = given.viewer or default_folder()
    if given.fetch:
        try:
            fetch_viewer(folder)
        except BundleError as error:
            raise RadserveError(str(error)) from error
        print(f"The viewer's files are in {folder}")
        return
    from radserve_client.reading_room import demonstrate, run_until_ended, show

    settings = _settings(given, folder)
    with listen(given.host, given.port) as listener:
        if given.demo:
            run_until_ended(demonstrate(settings, listener, given.study))
        else:
            run_until_ended(
                show(settings, listener, lambda address: print(f"viewer   {address}", flush=True))
            )


def _settings(given: argparse.Namespace, folder: Path) -> "ViewerSettings":
    from radserve_server.auth import Keyring
    from radserve_server.errors import ArchiveError, GatewayUnreachable
    from radserve_server.settings import is_loopback
    from radserve_server.viewer.bundle import panel_folder
    from radserve_server.viewer.settings import ViewerSettings
    from radserve_server.viewer.upstream import Upstream

    pacs = given.pacs or os.environ.get("RADSERVE_PACS_URL")
    if not pacs and not given.demo:
        given.refuse(
            "--pacs is missing: the archive's DICOMweb address, such as http://127.0.0.1:8042/dicom-web"
        )
    if not (is_loopback(given.host) or given.api_keys_file or given.insecure_open):
        given.refuse(
            f"--host {given.host} is reachable from outside: add --api-keys-file (or --insecure-open)"
        )
    if not (folder / "index.html").is_file():
        raise RadserveError(
            f"{folder} holds no viewer: radserve ohif --fetch, or name OHIF's dist with --viewer"
        )
    key = os.environ.get("RADSERVE_API_KEY")
    try:
        keyring = Keyring.load(given.api_keys_file)
    except ValueError as error:
        raise RadserveError(str(error)) from error
    return ViewerSettings(
        archive=Upstream("the archive", pacs or "", ArchiveError, passes_login=not keyring.hashes),
        gateway=Upstream(
            "the gateway",
            given.server,
            GatewayUnreachable,
            headers={"authorization": f"Bearer {key}"} if key else {},
        ),
        bundle=folder,
        panel=panel_folder(),
        pacs_name=given.pacs_name,
        hosts=frozenset({given.host, *given.known_as}),
        keyring=keyring,
    )

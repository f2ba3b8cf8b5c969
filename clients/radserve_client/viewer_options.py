"""What the options of `radserve ohif` come to: the archive, the gateway, the files; each refused by name if wrong."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from radserve_client.errors import RadserveError

if TYPE_CHECKING:
    from radserve_server.pacs.endpoint import Endpoint
    from radserve_server.viewer.settings import ViewerSettings
    from radserve_server.viewer.upstream import Upstream


def read_options(given: argparse.Namespace, folder: Path) -> "ViewerSettings":
    """The viewer's settings; raises RadserveError."""
    from radserve_server.auth import Keyring
    from radserve_server.settings import is_loopback
    from radserve_server.viewer.bundle import panel_folder
    from radserve_server.viewer.settings import ViewerSettings

    if not (is_loopback(given.host) or given.api_keys_file or given.insecure_open):
        raise RadserveError(
            f"--host {given.host} is reachable from outside, and an archive stands behind it: add "
            "--api-keys-file (or --insecure-open, if the network is trusted)"
        )
    if not (folder / "index.html").is_file():
        raise RadserveError(
            f"{folder} holds no viewer: fetch it with `radserve ohif --fetch`, or name OHIF's dist with --viewer"
        )
    try:
        keyring = Keyring.load(given.api_keys_file)
        endpoint = _find_archive(given)
    except ValueError as error:
        raise RadserveError(str(error)) from error
    return ViewerSettings(
        archive=_archive(endpoint, asks_login=bool(keyring.hashes)),
        gateway=_gateway(given.server),
        bundle=folder,
        panel=panel_folder(),
        pacs_name=given.pacs_name or endpoint.name,
        hosts=frozenset({given.host, *given.known_as}),
        keyring=keyring,
    )


def _find_archive(given: argparse.Namespace) -> "Endpoint":
    """By its address, or by its name in the gateway's own file of PACS; raises ValueError."""
    from radserve_server.pacs.configuration import ONLY, read_endpoints
    from radserve_server.pacs.endpoint import Endpoint

    wanted = given.pacs or (None if given.pacs_file else os.environ.get("RADSERVE_PACS_URL"))
    if given.demo:
        return Endpoint(ONLY, "")  # it is started later, and its address known then
    if wanted and "://" in wanted:
        _check_address("--pacs", wanted)
        return Endpoint(ONLY, wanted)
    file = given.pacs_file or os.environ.get("RADSERVE_PACS_FILE")
    if not file:
        raise ValueError(
            "which archive? --pacs http://127.0.0.1:8042/dicom-web, or --pacs NAME --pacs-file FILE"
        )
    endpoints = read_endpoints(Path(file), os.environ)
    if wanted in endpoints:
        return endpoints[wanted]
    if wanted is None and len(endpoints) == 1:
        return next(iter(endpoints.values()))
    raise ValueError(f"--pacs must be one of those in {file}: {', '.join(endpoints) or 'it names none'}")


def _archive(endpoint: "Endpoint", *, asks_login: bool) -> "Upstream":
    """It sees nothing of the browser's login where the server has one of its own, or the login is to the viewer."""
    from radserve_server.errors import ArchiveUnreachable
    from radserve_server.pacs.endpoint import Credentials
    from radserve_server.viewer.upstream import Upstream

    return Upstream(
        f"the archive {endpoint.name}",
        endpoint.url,
        ArchiveUnreachable,
        login=lambda: endpoint.credentials.headers(endpoint.name),
        tls=endpoint.tls or True,
        passes_login=not asks_login and endpoint.credentials == Credentials(),
    )


def _gateway(url: str) -> "Upstream":
    from radserve_server.errors import GatewayUnreachable
    from radserve_server.viewer.upstream import Upstream

    _check_address("--server", url)
    key = os.environ.get("RADSERVE_API_KEY")
    login = {"authorization": f"Bearer {key}"} if key else {}
    return Upstream("the gateway", url, GatewayUnreachable, login=lambda: login)


def _check_address(option: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RadserveError(f"{option} must be an http or https address")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise RadserveError(
            f"{option} must be an address without password and query; a file of PACS (--pacs-file) may name credentials"
        )

"""What the viewer's server is told: where the archive and the gateway are, and which files it serves."""

from dataclasses import dataclass, field
from pathlib import Path

from radserve_server.auth import Keyring
from radserve_server.viewer.upstream import Upstream


@dataclass(frozen=True, slots=True)
class ViewerSettings:
    """`bundle` is OHIF's `dist`, `panel` the folder of panel.mjs.

    `pacs_name` is what the gateway calls the archive; `hosts` are further names that browsers may call this server
    by; with keys in `keyring` a browser has to log in: any user name, an API key as the password.
    """

    archive: Upstream
    gateway: Upstream
    bundle: Path
    panel: Path
    pacs_name: str = "pacs"
    hosts: frozenset[str] = frozenset()
    keyring: Keyring = field(default_factory=Keyring)

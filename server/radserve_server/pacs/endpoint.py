"""How a PACS is reached: its address, how the gateway proves who it is, how long and how much it may take."""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from radserve_server.errors import ArchiveRefused


@dataclass(frozen=True, slots=True)
class Credentials:
    """What goes into the Authorization header, by RFC 7617 or RFC 6750; a token's file is read for each request,
    because tokens are renewed.
    """

    fixed: str | None = field(default=None, repr=False)
    token_file: Path | None = field(default=None, repr=False)

    @classmethod
    def basic(cls, username: str, password: str) -> "Credentials":
        """A name and a password."""
        return cls(f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}")

    @classmethod
    def bearer(cls, token: str) -> "Credentials":
        """A token that does not change."""
        return cls(f"Bearer {token}")

    def headers(self, pacs: str) -> dict[str, str]:
        """None where nothing is to be proved; raises ArchiveRefused if the file holds no token any more."""
        if self.token_file is not None:
            try:
                token = self.token_file.read_text().strip()
            except (OSError, UnicodeDecodeError):
                token = ""
            if not token or not token.isprintable():  # being written just now, perhaps
                raise ArchiveRefused(f"the token for {pacs} cannot be read: look at its token_file")
            return {"authorization": f"Bearer {token}"}
        return {} if self.fixed is None else {"authorization": self.fixed}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is the DICOMweb root. Times in seconds: to connect, without a byte, and for one whole answer."""

    name: str
    url: str
    credentials: Credentials = Credentials()
    tls: ssl.SSLContext | None = None
    connect_s: float = 5.0
    idle_s: float = 15.0
    whole_s: float = 60.0
    parallel: int = 8
    max_instance_bytes: int = 256 * 2**20
    max_metadata_bytes: int = 256 * 2**20

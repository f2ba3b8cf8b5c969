"""By which name a server is called, and from whose page: without a login, that is all that keeps other sites out.

A page of another site can have its own name point to this machine (DNS rebinding), and the browser then lets it read
what a server here answers; and it may send what needs no leave (a form, an empty POST) under the server's right name.
"""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from radserve_server.errors import Forbidden
from radserve_server.settings import is_loopback


def read_host_name(host: str) -> str:
    """Without its port, in lower case; IPv6 addresses without brackets, in their shortest form; "" for what is none."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


class LoopbackDoor:
    """Pure ASGI middleware of a server that only this machine reaches, and that asks for no key."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or refuse it; browsers always say Host, and Origin with whatever changes something."""
        if scope["type"] == "http":
            asked = Headers(scope=scope)
            refused = _refuse(asked.get("host", "localhost"), asked.get("origin"))
            if refused is not None:
                return await JSONResponse(refused.to_json(), refused.status)(scope, receive, send)
        await self._app(scope, receive, send)


def _refuse(host: str, origin: str | None) -> Forbidden | None:
    name = read_host_name(host)
    if not is_loopback(name):
        message = f"without API keys (api_keys_file) this server is called localhost only, not {name[:100]!r}"
        return Forbidden(message, code="unknown_host")
    if origin is not None and not is_loopback(read_host_name(origin.partition("://")[2])):
        return Forbidden("a page of another site may not ask this server", code="cross_site")
    return None

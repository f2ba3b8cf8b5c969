"""The viewer's outer wall: by which name it is called, from which page, who logs in, and what its pages may do."""

import base64
import binascii
from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radserve_server.auth import Keyring
from radserve_server.errors import Forbidden, GatewayError, Unauthorized
from radserve_server.host_names import read_host_name

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = ("GET", "HEAD")
_OF_EVERY_ANSWER = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",  # the address of a page holds UIDs
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
}


class Guard:
    """Pure ASGI middleware. `policy` is the Content-Security-Policy of answers that bring none of their own.

    A page of another site can make a browser ask a server that only this machine reaches, under a name of its own
    (DNS rebinding) or with the browser's login (CSRF): so names are checked, and the origin of what is asked.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], keyring: Keyring, policy: str) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower().strip("[]") for host in hosts}
        self._keyring = keyring
        self._headers = {**_OF_EVERY_ANSWER, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            asked = Headers(scope=scope)
            self._check_host(asked.get("host", ""))
            self._check_origin(scope["method"], asked)
            if self._keyring.hashes:
                scope = _log_in(scope, asked, self._keyring)
        except GatewayError as error:
            headers = (
                {"www-authenticate": 'Basic realm="radserve"'} if isinstance(error, Unauthorized) else {}
            )
            return await JSONResponse(error.to_json(), error.status, headers)(scope, receive, send_guarded)
        await self._app(scope, receive, send_guarded)

    def _check_host(self, host: str) -> None:
        name = read_host_name(host)
        if name not in self._hosts:
            message = f"this viewer is not known as {name[:100]!r}: start it with --known-as {name[:100]}"
            raise Forbidden(message, code="unknown_host")

    def _check_origin(self, method: str, asked: Mapping[str, str]) -> None:
        """What another site's page asks for is refused, but for the opening of a page: a link to a study."""
        site = asked.get("sec-fetch-site", "same-origin")
        if site not in ("same-origin", "none"):
            opens_page = (
                asked.get("sec-fetch-mode") == "navigate" and asked.get("sec-fetch-dest") == "document"
            )
            if method not in _SAFE or not opens_page:
                raise Forbidden("a page of another site may not ask this viewer", code="cross_site")
        origin = asked.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != asked.get("host", "").lower():
            raise Forbidden("a page of another site may not ask this viewer", code="cross_site")


def _log_in(scope: Scope, asked: Mapping[str, str], keyring: Keyring) -> Scope:
    """The request with the key as a bearer token, as the gateway wants it; raises Unauthorized."""
    key = _key_in(asked.get("authorization", ""))
    if key is None or keyring.owner(key) is None:
        raise Unauthorized("log in with any name, and an API key as the password")
    kept = [(name, value) for name, value in scope["headers"] if name != b"authorization"]
    return {**scope, "headers": [*kept, (b"authorization", f"Bearer {key}".encode())]}


def _key_in(authorization: str) -> str | None:
    """The password of a Basic login (RFC 7617), which is what browsers ask their user for; or a bearer token."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return None

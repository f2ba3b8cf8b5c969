"""Bounds the bytes of all bodies that are in the gateway at one time: together they must not exhaust its memory."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radserve_server.errors import Overloaded

_BODY = "radserve.body"


class BodyBudget:
    """At most `limit` bytes, but one request alone always gets what it sends: its own limit is checked elsewhere."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int, held: int) -> None:
        """Take `size` bytes more for a request that holds `held`; raises Overloaded."""
        others = self.used - held
        if others > 0 and self.used + size > self._limit:
            raise Overloaded("too many large bodies are being worked on; try again in a moment", param="body")
        self.used += size

    def give_back(self, held: int) -> None:
        """A request is over."""
        self.used -= held


class _CountedBody:
    """One request's body, as it arrives."""

    def __init__(self, receive: Receive, budget: BodyBudget) -> None:
        self._receive = receive
        self._budget = budget
        self.held = 0

    async def receive(self) -> Message:
        """The next message; raises Overloaded."""
        message = await self._receive()
        size = len(message.get("body", b""))
        self._budget.take(size, self.held)
        self.held += size
        return message

    def keep(self, size: int) -> None:
        """Hold no more than `size` bytes."""
        if self.held > size:
            self._budget.give_back(self.held - size)
            self.held = size


def keep_of_body(scope: Scope, size: int) -> None:
    """For who takes a body piece by piece: all but `size` bytes of what has arrived were handed over."""
    body = scope.get(_BODY)
    if isinstance(body, _CountedBody):
        body.keep(size)


class BodyGate:
    """Pure ASGI middleware."""

    def __init__(self, app: ASGIApp, budget: BodyBudget) -> None:
        self._app = app
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = scope[_BODY] = _CountedBody(receive, self._budget)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._budget.give_back(body.held)

"""All that takes instances in, as one part that starts and stops with the server."""

from dataclasses import dataclass

from radserve_server.settings import Settings


@dataclass(slots=True)
class Intake:
    """Nothing listens unless an intake file is set."""

    settings: Settings

    async def start(self) -> None:
        """Listen."""

    async def stop(self) -> None:
        """Stop listening."""

    def sweep(self) -> None:
        """Forget what is too old."""

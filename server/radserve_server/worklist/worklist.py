"""The work items, and what works them off, as one part that starts and stops with the server."""

from dataclasses import dataclass

from radserve_server.settings import Settings


@dataclass(slots=True)
class Worklist:
    """Lasts as long as the server unless a worklist file is set."""

    settings: Settings

    async def start(self) -> None:
        """Begin to work items off."""

    async def stop(self) -> None:
        """Stop working."""

"""The gateway inside a program that looks after signals itself."""

from radserve_server.app import create_app
from radserve_server.backend import Backend
from radserve_server.owned_server import OwnedServer
from radserve_server.serve import configure
from radserve_server.settings import Settings


class Gateway(OwnedServer):
    """The app; raises ValueError for a bad key file."""

    def __init__(self, settings: Settings, backend: Backend) -> None:
        super().__init__(configure(settings, create_app(settings, backend)))

"""Where the errors of radserve_engines become the command's own."""

from collections.abc import Iterator
from contextlib import contextmanager

from radserve_client.errors import RadserveError


@contextmanager
def told_as(kind: type[RadserveError] = RadserveError) -> Iterator[None]:
    """An EngineError inside becomes a `kind` with the same words. Needs radserve_engines."""
    from radserve_engines.errors import EngineError

    try:
        yield
    except EngineError as error:
        raise kind(str(error)) from error

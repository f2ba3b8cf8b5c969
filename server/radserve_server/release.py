"""Which radserve this is."""

from importlib.metadata import PackageNotFoundError, version

_UNINSTALLED = "0+source"


def own_version() -> str:
    """The distribution's version."""
    try:
        return version("radserve")
    except PackageNotFoundError:
        return _UNINSTALLED

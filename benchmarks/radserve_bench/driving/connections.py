"""As many connections as the system lets this process have."""

import resource


def allow_connections() -> None:
    """Raise the soft limit of open files to the hard one: else the generator fails at about a thousand at once."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

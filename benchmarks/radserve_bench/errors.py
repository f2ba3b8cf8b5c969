"""What a benchmark can raise.

BenchError             nothing can be measured so: the message says why and what to do
└── RequestFailed      one request got no answer; counted, and the run goes on
    ├── Refused        429 or 503: too busy, said at once
    ├── Broken         the answer ended, or an error came, after it had begun
    └── TimedOut       no end within the time that a request may take
"""


class BenchError(Exception):
    """Nothing can be measured so."""


class RequestFailed(BenchError):
    """One request got no answer."""

    kind = "failed"


class Refused(RequestFailed):
    """The server was too busy, and said so."""

    kind = "refused"


class Broken(RequestFailed):
    """The answer did not come to its end."""

    kind = "broken"


class TimedOut(RequestFailed):
    """The answer took longer than a request may."""

    kind = "timed out"

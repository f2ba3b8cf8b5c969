"""Ctrl-C and SIGTERM, from the start of the first server to the report's last file."""

import asyncio
import signal
from types import TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Within the block the first signal cancels the task that entered it; others do nothing, so that all is ended."""

    def __init__(self) -> None:
        self.caught = False

    def __enter__(self) -> "Interruption":
        """Needs a running loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        for number in _SIGNALS:
            self._loop.add_signal_handler(number, self._catch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)

    def _catch(self) -> None:
        if not self.caught and self._task:
            self._task.cancel()
        self.caught = True

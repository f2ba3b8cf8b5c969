"""Audit events: who asked, filed or judged what, one JSON object a line; docs/reports.md lists them."""

import asyncio
import json
import logging
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radserve_server.errors import AuditUnavailable, Conflict

_LOG = logging.getLogger(__name__)


class AuditLog:
    """Appends to a file, in a thread of its own; without a file, events go nowhere.

    Raises ValueError where the file cannot be written; it is made readable to its owner only.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, "audit")
        if path is not None:
            try:
                os.close(_open(path))
            except OSError as error:
                raise ValueError(f"audit_file {path} cannot be written: {error.strerror}") from None

    def note(self, event: str, caller: str, **details: Any) -> Mapping[str, Any]:
        """Have one event written soon, and give it back; that it could not be written is logged."""
        entry = _make_entry(event, caller, details)
        if self.path is not None:
            self._submit(self.path, entry).add_done_callback(_log_failure)
        return entry

    async def record(self, event: str, caller: str, **details: Any) -> Mapping[str, Any]:
        """One event, which is on the disk when this returns; raises Conflict or AuditUnavailable."""
        if self.path is None:
            raise Conflict(
                "no audit file is set, so this would be kept nowhere: the server needs RADSERVE_AUDIT_FILE",
                code="no_audit_file",
            )
        entry = _make_entry(event, caller, details)
        try:
            await asyncio.wrap_future(self._submit(self.path, entry))
        except OSError as error:
            _LOG.error("audit event not written: %s", error.strerror)
            raise AuditUnavailable("the audit file cannot be written; nothing was kept") from None
        return entry

    def close(self) -> None:
        """Wait for what is still to be written."""
        self._thread.shutdown()

    def _submit(self, path: Path, entry: Mapping[str, Any]) -> "Future[None]":
        line = json.dumps(entry) + "\n"
        return self._thread.submit(_append, path, line.encode())


def _make_entry(event: str, caller: str, details: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"event_id": uuid.uuid4().hex, "time": now, "event": event, "caller": caller, **details}


def _append(path: Path, line: bytes) -> None:
    """One write, so that lines of several servers do not mix; opened anew, so that the file may be rotated."""
    file = _open(path)
    try:
        if os.write(file, line) != len(line):
            raise OSError(0, "only a part of the line was written")
        os.fsync(file)
    finally:
        os.close(file)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _log_failure(done: "Future[None]") -> None:
    error = done.exception()
    if error is not None:
        _LOG.error("audit event not written: %s", getattr(error, "strerror", None) or type(error).__name__)

"""The SQLite file that work items are kept in, so that they survive the server."""

import json
import logging
import os
import sqlite3
from pathlib import Path

from radserve_server.errors import WorklistUnavailable
from radserve_server.worklist.workitem import Workitem

_LOG = logging.getLogger(__name__)
_VERSION = 1
_COLUMNS = "uid, caller, attributes, transaction_uid, own, created, changed"
_SCHEMA = """CREATE TABLE workitems (
    uid TEXT PRIMARY KEY, caller TEXT NOT NULL, attributes TEXT NOT NULL, transaction_uid TEXT,
    own INTEGER NOT NULL, created REAL NOT NULL, changed REAL NOT NULL) STRICT"""


class WorkitemFile:
    """Only its owner may read it, and one server at a time has it; every change is on the disk when it is told done."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError naming the file if it cannot be used."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            path.chmod(0o600)
            self._connection = sqlite3.connect(
                path, timeout=0.2, isolation_level=None, check_same_thread=False
            )
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise ValueError(f"worklist_file {path} cannot be used: {error}") from None

    def load(self) -> list[Workitem]:
        """All of them, oldest first."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM workitems ORDER BY created")
        return [
            Workitem(uid, caller, json.loads(attributes), transaction_uid, bool(own), created, changed)
            for uid, caller, attributes, transaction_uid, own, created, changed in rows
        ]

    def save(self, item: Workitem) -> None:
        """Keep an item as it is now; raises WorklistUnavailable."""
        values = (
            *(item.uid, item.caller, json.dumps(item.attributes), item.transaction_uid),
            *(item.own, item.created, item.changed),
        )
        self._write(f"INSERT OR REPLACE INTO workitems ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", *values)

    def delete(self, uid: str) -> None:
        """Forget an item; raises WorklistUnavailable."""
        self._write("DELETE FROM workitems WHERE uid = ?", uid)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _write(self, statement: str, *values: str | int | float | None) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            _LOG.error("worklist file not written: %s", error)
            raise WorklistUnavailable("the worklist's file cannot be written; nothing has changed") from None

    def _open(self) -> None:
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if not version:
            self._connection.execute(_SCHEMA)
            self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}, this server writes {_VERSION}")
        self._connection.execute("COMMIT")

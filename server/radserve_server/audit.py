"""Audit events: who asked, filed or judged what, one JSON object a line."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditLog:
    """Appends to a file; without one, events go nowhere."""

    path: Path | None

    def note(self, event: str, caller: str, **details: Any) -> Mapping[str, Any]:
        """Write one event, and give it back."""
        entry = {
            "event_id": uuid.uuid4().hex,
            "time": datetime.now(UTC).isoformat(),
            "event": event,
            "caller": caller,
            **details,
        }
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return entry

"""The stages of a build: each leaves a record, and one that was done from the same inputs is not done again."""

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radserve_engines.errors import BuildFailed, EngineError

FILE_NAME, LOG_NAME = "stages.json", "build.log"
_TELL_S = 5.0
Note = Callable[[int, int], None]
Record = Mapping[str, Any]


class Stages:
    """Runs stages in order, on stderr and in `folder`/build.log; `names` are all that will come.

    A stage's inputs are what it is given and every record before it, so a change upstream repeats what depends on it.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._names = names
        self._known = _read(folder / FILE_NAME)
        self._records: dict[str, dict[str, Any]] = {}

    def run(
        self,
        name: str,
        inputs: Mapping[str, Any],
        work: Callable[[Note], Record],
        *,
        outputs: tuple[Path, ...] = (),
        holds: Callable[[Record], bool] = lambda _: True,
    ) -> Record:
        """The record, from earlier if inputs are the same, outputs there, and it `holds`. Raises what `work` does."""
        digest = _digest([inputs, *self._records.values()])
        place = f"[{self._names.index(name) + 1}/{len(self._names)}] {name}"
        known = self._known.get(name)
        done = known and known["inputs"] == digest and all(path.exists() for path in outputs)
        if known and done and holds(known["record"]):
            self.say(f"{place}: done before")
            self._records[name] = known
            return dict(known["record"])
        self.say(f"{place} …")
        self._forget(name)
        began = time.monotonic()
        with self._explained(place):
            record = dict(work(self._noting(place)))
        seconds = round(time.monotonic() - began, 1)
        self._records[name] = {"inputs": digest, "seconds": seconds, "record": record}
        self._write()
        self.say(f"{place}: done in {seconds:g} s")
        return record

    def to_json(self) -> tuple[dict[str, Any], ...]:
        """For the manifest: each stage with its record."""
        return tuple(
            {"stage": name, "seconds": one["seconds"], **one["record"]} for name, one in self._records.items()
        )

    def say(self, text: str) -> None:
        """To stderr and, with the time, to the log."""
        print(text, file=sys.stderr, flush=True)
        with (self.folder / LOG_NAME).open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")

    @contextlib.contextmanager
    def _explained(self, place: str) -> Iterator[None]:
        try:
            yield
        except _told_errors() as error:
            self.say(f"{place}: {error}")
            if isinstance(error, EngineError):
                raise
            raise BuildFailed(f"{place}: {error}") from error
        except KeyboardInterrupt:
            self.say(
                f"{place}: interrupted; what came before is kept, and the same command goes on from there"
            )
            raise

    def _noting(self, place: str) -> Note:
        told = [time.monotonic()]

        def note(done: int, total: int) -> None:
            if time.monotonic() - told[0] >= _TELL_S and done < total:
                told[0] = time.monotonic()
                self.say(f"{place}: {done} of {total}")

        return note

    def _forget(self, name: str) -> None:
        """What is begun again is not done, even should it die halfway and the next command be the one before."""
        if self._known.pop(name, None) is not None:
            self._write()

    def _write(self) -> None:
        """Later stages that were known keep their records: they count only if their inputs are the same again."""
        self._known |= self._records
        partial = self.folder / f"{FILE_NAME}.partial"
        partial.write_text(json.dumps(self._known, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(self.folder / FILE_NAME)


def _told_errors() -> tuple[type[Exception], ...]:
    """Ours, and what a full disk raises; safetensors has its own, and is not installed wherever this is imported."""
    try:
        from safetensors import SafetensorError
    except ModuleNotFoundError:
        return EngineError, OSError
    return EngineError, OSError, SafetensorError


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        value: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BuildFailed(f"{path} cannot be read: {error}; remove it to begin anew") from error
    return value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()

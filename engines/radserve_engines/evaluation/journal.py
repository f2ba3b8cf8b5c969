"""`answers.jsonl` and `run.json`: what was answered so far, kept as it comes, so that a run can go on."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from radserve_engines.errors import EvaluationError
from radserve_engines.evaluation.asking import Ask, Key, Outcome

ANSWERS, RUN = "answers.jsonl", "run.json"
_SAME = ("target", "sets", "limit", "max_tokens")
_OUTCOME = tuple(field.name for field in fields(Outcome))


class Journal:
    """One run in one folder; `run` says whose answers these are: another target's, set's or limit's are refused.

    A second process that would write to the same folder is refused too. A question that ended in an error counts as
    not answered: a later line replaces it.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / ANSWERS
        if not fresh and path.is_file() and path.stat().st_size:
            _refuse_another(folder, run)
        self._lines = _open_alone(path)
        if fresh:
            self._lines.truncate(0)
        (folder / RUN).write_text(json.dumps(run, indent=2, sort_keys=True) + "\n", "utf-8")
        self.outcomes = _read_answers(path, mend=True)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._lines.close()

    def lacks(self, ask: Ask) -> bool:
        """Whether it still has to be asked."""
        outcome = self.outcomes.get(ask.key)
        return outcome is None or outcome.error is not None

    def write(self, ask: Ask, outcome: Outcome) -> None:
        """Append one line, and let it reach the file."""
        self.outcomes[ask.key] = outcome
        self._lines.write(json.dumps(_line(ask, outcome), ensure_ascii=False) + "\n")
        self._lines.flush()


def read_results(folder: Path) -> tuple[dict[str, Any], dict[Key, Outcome]]:
    """The run and the answers of an earlier evaluation. Raises EvaluationError when the folder has none."""
    run = _read_run(folder)
    try:
        return run, _read_answers(folder / ANSWERS, mend=False)
    except OSError as error:
        raise _no_results(folder, error) from error


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        run: dict[str, Any] = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _no_results(folder, error) from error
    return run


def _no_results(folder: Path, error: Exception) -> EvaluationError:
    return EvaluationError(f"{folder} does not hold an evaluation's results: {error}")


def _line(ask: Ask, outcome: Outcome) -> dict[str, Any]:
    raw, given = outcome.raw_confidence, asdict(outcome)
    return {
        "id": ask.item.id,
        "set": ask.set,
        "condition": ask.condition,
        "answer": given.pop("text"),
        "raw_confidence": None if raw is None else round(raw, 6),
        **{**given, "seconds": round(outcome.seconds, 4)},
    }


def _read_answers(path: Path, *, mend: bool) -> dict[Key, Outcome]:
    """A last line that was cut when the process died is dropped, and, to `mend`, cut off the file."""
    outcomes: dict[Key, Outcome] = {}
    data = path.read_bytes() if path.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
            row["text"] = row["answer"]
            key = row["condition"], row["set"], row["id"]
            outcomes[key] = Outcome(**{name: row[name] for name in _OUTCOME})
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(f"{path}:{number}: not a line of an evaluation: {error!r}") from error
    if mend and len(whole) < len(data):
        os.truncate(path, len(whole))
    return outcomes


def _open_alone(path: Path) -> TextIO:
    """Half of a surrogate pair, which is no UTF-8, is written as JSON's escape of it."""
    lines = path.open("a", encoding="utf-8", errors="backslashreplace")
    try:
        fcntl.flock(lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lines.close()
        raise EvaluationError(f"another evaluation is writing to {path.parent}") from error
    except OSError:
        pass  # some network file systems have no locks
    return lines


def _refuse_another(folder: Path, run: Mapping[str, Any]) -> None:
    earlier = _read_run(folder)
    for name in _SAME:
        if earlier.get(name) != run[name]:
            raise EvaluationError(
                f"{folder} holds answers of another run: its {name} was {earlier.get(name)!r}, now it is "
                f"{run[name]!r}. Take another folder, or begin anew with --fresh"
            )

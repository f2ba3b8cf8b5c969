"""What is finished is kept: requests.jsonl gets a point's requests as soon as the point ends."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radserve_bench.record import Load, Point, Record, Usage

REQUESTS = "requests.jsonl"


class Journal:
    """Writes points into `folder`, which is made; an earlier run's requests there are replaced."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / REQUESTS
        self.path.write_text("", "utf-8")

    def add(self, point: Point) -> None:
        """One line for the point, then one for each of its requests."""
        head = {**asdict(point), "load": asdict(point.load)}
        records = head.pop("records")
        with self.path.open("a", encoding="utf-8") as out:
            for line in ({"point": head}, *records):
                out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_points(folder: Path) -> list[Point]:
    """The points that a journal holds, so that a report can be made of them again."""
    points: list[Point] = []
    for line in _lines(folder / REQUESTS):
        if "point" in line:
            head = line["point"]
            head["load"], head["usage"] = Load(**head["load"]), Usage(**head["usage"])
            points.append(Point(**head))
        else:
            points[-1].records.append(Record(**line))
    return points


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)

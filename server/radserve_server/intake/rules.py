"""Routing: which standing questions are to be asked of a study, and of which of its series."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from radserve_server.intake.configuration import RuleTable, compile_pattern
from radserve_server.intake.instances import Instance, Traits
from radserve_server.pacs.finding import NO_IMAGES

_CONDITIONS = {  # a rule's key, and the trait that it looks at
    "ae_title": "sender",
    "modality": "modality",
    "body_part": "body_part",
    "study_description": "study_description",
    "series_description": "series_description",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the file, its patterns compiled by trait."""

    table: RuleTable
    conditions: tuple[tuple[str, tuple[re.Pattern[str], ...]], ...]

    @classmethod
    def compile(cls, table: RuleTable) -> "Rule":
        """Of the file's table."""
        given = {trait: getattr(table, key) for key, trait in _CONDITIONS.items()}
        return cls(
            table,
            tuple(
                (trait, tuple(map(compile_pattern, patterns)))
                for trait, patterns in given.items()
                if patterns is not None
            ),
        )

    def matches(self, traits: Traits) -> bool:
        """Whether all conditions hold; a trait that the instance does not have matches none."""
        return all(_holds(getattr(traits, trait), patterns) for trait, patterns in self.conditions)

    def choose_series(self, instances: Iterable[Instance]) -> str | None:
        """Of the series that match, the one with most images; None where none does."""
        images: dict[str, int] = {}
        for instance in instances:
            is_image = instance.entry.planes and instance.traits.modality not in NO_IMAGES
            if is_image and self.matches(instance.traits):
                series = instance.address.series
                images[series] = images.get(series, 0) + len(instance.entry.planes)
        return max(images, key=lambda series: images[series], default=None)


def _holds(value: str | None, patterns: Iterable[re.Pattern[str]]) -> bool:
    return value is not None and any(pattern.search(value) for pattern in patterns)

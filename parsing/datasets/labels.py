"""Class names of data sets, of which those of persons are many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from parsing.datasets.problems import Problems
from parsing.datasets.records import PERSON

PERSON_NAMES = ("person", "persons", "people", "pedestrian", "pedestrians", "human", "humans")


def unified_labels(names: Sequence[str], file: Path, problems: Problems) -> dict[str, str]:
    """The label of each class name: `person` for `Person`, and for `pedestrian`, `human` and the like where no class is a person.

    Every name that is changed is noted.
    """
    has_person = any(_plain(name) == PERSON for name in names)
    meant = (PERSON,) if has_person else PERSON_NAMES
    labels = {name: PERSON if _plain(name) in meant else name for name in names}
    for name, label in labels.items():
        if name != label:
            problems.note(file, f"class {name!r} is read as {label!r}")
    return labels


def _plain(name: str) -> str:
    return name.strip().lower()

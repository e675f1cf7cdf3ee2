"""From probabilities to labels: thresholds, then of each group of exclusive classes only the best (SIAT 2022, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parsing.configs import config, nearest, parse_config, read_yaml
from parsing.errors import InputError
from parsing.types import Array


@config
class GroupsConfig:
    """Groups of classes of which a clip shows one at a time, by a name of their own."""

    groups: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class ExclusiveGroups:
    """Ids of the classes of each group, by the group's name."""

    ids: dict[str, tuple[int, ...]]

    @classmethod
    def load(cls, path: Path, classes: Sequence[str]) -> ExclusiveGroups:
        """From a YAML file `groups: {name: [class, …]}`.

        Raises:
            InputError: a class is unknown, stands in two groups, or is alone in one.
        """
        settings = parse_config(GroupsConfig, read_yaml(path), str(path))
        owner: dict[str, str] = {}
        for group, names in settings.groups.items():
            if len(names) < 2:
                raise InputError(f"{path}: group {group!r} has {len(names)} class, expected two or more")
            for name in names:
                if name not in classes:
                    raise InputError(f"{path}: group {group!r}: unknown class {name!r:.60}; {nearest(name, classes)}")
                if name in owner:
                    raise InputError(f"{path}: class {name!r} stands in {owner[name]!r} and {group!r}, expected one group")
                owner[name] = group
        return cls({group: tuple(classes.index(name) for name in names) for group, names in settings.groups.items()})

    def keep_best(self, predicted: Array, scores: Array) -> Array:
        """(N, C) bool: of the predicted classes of each group the one with the highest score; the first of equal ones."""
        kept = np.array(predicted, bool)
        for ids in self.ids.values():
            members = list(ids)
            chosen = kept[:, members]
            best = np.where(chosen, scores[:, members], -np.inf).argmax(1)
            kept[:, members] = chosen & (np.arange(len(members)) == best[:, None])
        return kept

    def conflicts(self, truth: Array) -> dict[str, int]:
        """How many clips truly show more than one class of a group: where it is not 0, the group costs recall."""
        return {group: int((np.asarray(truth)[:, list(ids)].sum(1) > 1).sum()) for group, ids in self.ids.items()}


NO_GROUPS = ExclusiveGroups({})


def decode(scores: Array, thresholds: Array, groups: ExclusiveGroups = NO_GROUPS, at_least_one: bool = False) -> Array:
    """Labels of N clips.

    Args:
        scores: (N, C) probabilities.
        thresholds: (C,), or (N, C) for each clip its own; a class is predicted above its threshold.
        at_least_one: whether a clip in which nothing passes gets the class with the highest score.

    Returns:
        (N, C) bool.
    """
    predicted = groups.keep_best(scores > thresholds, scores)
    if at_least_one:
        predicted |= ~predicted.any(1, keepdims=True) & (np.arange(scores.shape[1]) == scores.argmax(1)[:, None])
    return predicted

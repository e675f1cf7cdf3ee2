"""The actions that a recognizer knows, and what they mean for its scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field
from torch import Tensor

from parsing.configs import config, parse_config
from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader
from parsing.types import Array

SIDES = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
_SIDE = re.compile(r"(?<![A-Za-z])(left|right)(?![A-Za-z])|(Left|Right)(?![a-z])")  # of turn_left, turn left, TurnLeft; not of upright


@config
class _LabelsEntry:
    """The labels of a weights file."""

    actions: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1, max_length=10_000)]
    multi_label: bool = False
    mirrors: tuple[tuple[str, str], ...] = ()
    background: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.actions)) < len(self.actions):
            raise ValueError("actions holds a name twice")
        check_background(self.background, self.actions, self.multi_label)


def check_background(background: Sequence[str], actions: Sequence[str], multi_label: bool) -> None:
    """Raises ValueError: a class of the background is no class, all are, or the labels are multi-label and need none."""
    odd = [name for name in background if name not in actions]
    if odd:
        raise ValueError(f"background: {odd[0]!r} is no class; expected some of {', '.join(actions):.200}")
    if background and multi_label:
        raise ValueError(f"background: {background[0]!r} of multi-label classes, expected none: where nothing holds, no label is given")
    if len(background) == len(actions):
        raise ValueError("background: holds every class, so there is no action")


@dataclass(frozen=True)
class ActionLabels:
    """Names of A actions, in the order of a network's logits.

    Args:
        multi_label: whether several actions, or none, may hold at once, each with a probability of its own.
        mirrors: pairs of actions that a mirrored video turns into each other, beside those whose names differ in `left`
            and `right`.
        background: classes that compete with the actions and are never reported as one.
    """

    names: tuple[str, ...]
    multi_label: bool = False
    mirrors: tuple[tuple[str, str], ...] = ()
    background: tuple[str, ...] = ()

    @classmethod
    def from_header(cls, header: WeightsHeader, where: str) -> ActionLabels:
        """From a header, where files written before call `multi_label` `many`; raises InputError where it lists no actions."""
        before = {"multi_label" if key == "many" else key: value for key, value in header.labels.items()}
        labels = parse_config(_LabelsEntry, before, f"{where}: labels")
        return cls(labels.actions, labels.multi_label, labels.mirrors, labels.background)

    def to_header(self) -> dict[str, Any]:
        return {
            "actions": list(self.names),
            "multi_label": self.multi_label,
            "mirrors": [list(pair) for pair in self.mirrors],
            "background": list(self.background),
        }

    def target(self, labels: Sequence[str]) -> Array:
        """(A,) 1 where an action holds."""
        return np.array([name in labels for name in self.names], np.float32)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of (…, A) logits."""
        return logits.sigmoid() if self.multi_label else logits.softmax(-1)

    def mirrored(self) -> Array:
        """(A,) for each action, the id of the one that it looks like in a mirror.

        Raises:
            InputError: an action names a side, or a pair of `mirrors` an action, whose counterpart there is not.
        """
        pairs = dict(self.mirrors) | {b: a for a, b in self.mirrors}
        unknown = [name for name in pairs if name not in self.names]
        if unknown:
            raise InputError(f"mirrors: {unknown[0]!r} is no action; expected pairs of actions that a flip turns into each other")
        order = []
        for name in self.names:
            other = pairs.get(name) or _SIDE.sub(lambda side: SIDES[side.group()], name)
            if other not in self.names:
                raise InputError(f"flip: action {name!r} has a side and there is no action {other!r}, so mirrored clips have no label")
            order.append(self.names.index(other))
        return np.array(order, np.int64)

"""Parts, states and actions: always loaded with weights or data, never assumed by a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parsing.errors import InputError
from parsing.memory import read_bounded
from parsing.types import Array, Branch

MAX_LIST_BYTES = 64 * 2**20
# Order of the Kinetics-TPS annotation; left and right are the person's own.
PART_NAMES = (
    "head", "hip", "left_arm", "right_arm", "left_hand", "right_hand",
    "left_leg", "right_leg", "left_foot", "right_foot",
)  # fmt: skip


Pairs = tuple[tuple[str, str], ...]
Groups = tuple[tuple[str, ...], ...]


def pairs_by_name(names: Sequence[str]) -> Pairs:
    """`left_x` with `right_x`, where both are among the names."""
    sides = ((name, f"right_{name.removeprefix('left_')}") for name in names if name.startswith("left_"))
    return tuple((left, right) for left, right in sides if right in names)


def check_pairs(pairs: Pairs, names: Sequence[str]) -> None:
    """Raises ValueError where a name of a pair is not among the names, or stands in two."""
    paired = [name for pair in pairs for name in pair]
    for name, count in Counter(paired).items():
        if name not in names or count > 1:
            what = "stands twice" if name in names else "is not among the names"
            raise ValueError(f"pairs: {name!r:.80} {what}; expected left and right of {', '.join(names):.200}")


def flip_permutation(names: Sequence[str], pairs: Pairs | None = None) -> Array:
    """(P,) indices that swap the two names of each pair (None: `pairs_by_name`), as a mirrored image does; other names stay."""
    other = {a: b for pair in (pairs_by_name(names) if pairs is None else pairs) for a, b in (pair, pair[::-1])}
    return np.array([names.index(other.get(name, name)) for name in names])


def read_list(path: Path) -> tuple[str, ...]:
    """Names of a list file, one a line.

    Raises:
        InputError: it cannot be read, is empty, or holds a name twice.
    """
    try:
        text = read_bounded(path, MAX_LIST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as a list of names ({error})") from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if not names or twice is not None:
        raise InputError(f"{path}: {'no name in it' if not names else f'{twice!r} stands twice'}; expected a name a line")
    return names


@dataclass(frozen=True)
class Vocabulary:
    """Names that a parse uses.

    Args:
        name: which set of labels this is, shown in every parse.
        parts: P part names.
        states: S state names.
        part_states: for each part, in order, the states that it can take.
        actions: A action names.
        low_res_actions: names that the low-resolution branch uses in their place; several of them may hold at once.
        pairs: left and right parts that change places in a mirrored image and are of one kind; None pairs `left_x` with
            `right_x`.
        exclusive: for each part, in order, the groups of its states of which one holds at most; empty for none of any part.
    """

    name: str
    parts: tuple[str, ...]
    states: tuple[str, ...]
    part_states: tuple[tuple[str, ...], ...]
    actions: tuple[str, ...]
    low_res_actions: tuple[str, ...] = ()
    pairs: Pairs = None  # type: ignore[assignment]  # never None once it is made
    exclusive: tuple[Groups, ...] = ()

    def __post_init__(self) -> None:
        for field in ("parts", "states", "actions", "low_res_actions"):
            names = getattr(self, field)
            if not all(isinstance(name, str) and name for name in names):
                raise ValueError(f"vocabulary {self.name!r:.80}: {field} {names!r:.80}, expected names")
            if len(set(names)) != len(names):
                raise ValueError(f"vocabulary {self.name!r}: {field} holds a name twice: {names!r:.160}")
        if len(self.part_states) != len(self.parts):
            raise ValueError(f"vocabulary {self.name!r}: part_states has {len(self.part_states)} rows for {len(self.parts)} parts")
        unknown = {state for row in self.part_states for state in row} - set(self.states)
        if unknown:
            raise ValueError(f"vocabulary {self.name!r}: part_states names {sorted(unknown)}, not among its states")
        if self.pairs is None:
            object.__setattr__(self, "pairs", pairs_by_name(self.parts))
        check_pairs(self.pairs, self.parts)
        object.__setattr__(self, "exclusive", self.exclusive or ((),) * len(self.parts))
        self._check_exclusive()

    def _check_exclusive(self) -> None:
        if len(self.exclusive) != len(self.parts):
            raise ValueError(f"vocabulary {self.name!r:.80}: exclusive has {len(self.exclusive)} rows for {len(self.parts)} parts")
        for part, states, groups in zip(self.parts, self.part_states, self.exclusive, strict=True):
            for group in groups:
                if len(group) < 2 or len(set(group)) < len(group) or not set(group) <= set(states):
                    raise ValueError(
                        f"vocabulary {self.name!r:.80}: exclusive {list(group)!r:.80} of {part!r:.80}, "
                        f"expected two or more of {', '.join(states) or 'no state'!s:.160}"
                    )

    @property
    def allowed(self) -> Array:
        """(P, S) bool: whether a part can take a state."""
        return np.array([[state in row for state in self.states] for row in self.part_states], bool).reshape(
            len(self.parts), len(self.states)
        )

    @property
    def swap(self) -> Array:
        """(P,) the part that each part is in a mirrored image."""
        return flip_permutation(self.parts, self.pairs)

    @property
    def kinds(self) -> list[list[int]]:
        """Indices of the parts of one kind: left and right together, every other part alone, in the order of the parts."""
        return [sorted({p, other}) for p, other in enumerate(self.swap.tolist()) if p <= other]

    def actions_of(self, branch: Branch) -> tuple[str, ...]:
        """The actions that a branch of recognizers scores."""
        return self.low_res_actions if branch == "low_res" else self.actions

    def to_json(self) -> dict[str, Any]:
        rows = dict(zip(self.parts, map(list, self.part_states), strict=True))
        return {
            "name": self.name,
            "parts": list(self.parts),
            "states": list(self.states),
            "part_states": rows,
            "actions": list(self.actions),
            "low_res_actions": list(self.low_res_actions),
            "pairs": [list(pair) for pair in self.pairs],
            "exclusive": {part: list(map(list, groups)) for part, groups in zip(self.parts, self.exclusive, strict=True) if groups},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Vocabulary:
        """Read what `to_json` wrote; raises KeyError or ValueError where it does not fit."""
        parts, states, actions = (_listed(value, field) for field in ("parts", "states", "actions"))
        of_parts = value["part_states"]
        if not isinstance(of_parts, dict) or not isinstance(value["name"], str):
            raise ValueError(f"vocabulary {value['name']!r:.80}: part_states {of_parts!r:.80}, expected an object of lists by part")
        rows = tuple(_listed(of_parts, part) for part in parts)
        low_res_actions = _listed({"low_res_actions": []} | value, "low_res_actions")
        return cls(
            value["name"],
            parts,
            states,
            rows,
            actions,
            low_res_actions,
            _pairs_of(value.get("pairs"), parts),
            _exclusive_of(value.get("exclusive", {}), parts),
        )

    @classmethod
    def of_weights(cls, labels: dict[str, Any], path: Path) -> Vocabulary:
        """The vocabulary in the header of a weights file.

        Raises:
            InputError: it is not whole.
        """
        try:
            return cls.from_json(labels)
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}: its vocabulary cannot be read ({error})") from None


def _pairs_of(value: Any, parts: Sequence[str]) -> Pairs:
    """The pairs of a header; by name where it has none, as headers of before."""
    if value is None:
        return pairs_by_name(parts)
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and set(map(type, pair)) == {str} for pair in value
    ):
        raise ValueError(f"vocabulary: pairs {value!r:.80}, expected a list of two names each")
    return tuple((left, right) for left, right in value)


def _exclusive_of(value: Any, parts: Sequence[str]) -> tuple[Groups, ...]:
    """The groups of every part; none where a header has none, as headers of before."""
    shaped = isinstance(value, dict) and set(value) <= set(parts) and all(isinstance(groups, list) for groups in value.values())
    if not shaped or not all(isinstance(group, list) and set(map(type, group)) <= {str} for groups in value.values() for group in groups):
        raise ValueError(f"vocabulary: exclusive {value!r:.80}, expected an object of lists of lists of states by part")
    return tuple(tuple(map(tuple, value.get(part, ()))) for part in parts)


def _listed(value: dict[str, Any], field: str) -> tuple[str, ...]:
    if not isinstance(value[field], list) or not all(isinstance(name, str) for name in value[field]):
        raise ValueError(f"vocabulary: {field} {value[field]!r:.80}, expected a list of names")
    return tuple(value[field])

"""How the actions that recognizers see condition part states that know other actions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from parsing.errors import InputError
from parsing.types import Array
from parsing.yaml_files import read_yaml_value

SHIPPED = "default/"


class Conditioning:
    """Carries distributions over a recognizer's actions to those of the part states.

    Actions are the same where their names agree but for case and punctuation, or where an alias says so; their order does
    not matter, and several of a recognizer may count as one of the part states. The share of all others is left out, so a
    distribution may sum to less than one; the part-state network takes the rest as an action that it does not know.

    Args:
        recognized: A names of the recognizer.
        known: S names of the part states.
        aliases: from a recognizer's name to one of the part states.

    Raises:
        InputError: an alias leads to no action of the part states.
    """

    def __init__(self, recognized: Sequence[str], known: Sequence[str], aliases: Mapping[str, str] | None = None) -> None:
        places = {_plain(name): place for place, name in enumerate(known)}
        meant = {_plain(name): _plain(other) for name, other in (aliases or {}).items()}
        lost = next((other for other in (aliases or {}).values() if _plain(other) not in places), None)
        if lost is not None:
            raise InputError(f"action_aliases: {lost!r} is no action of the part states; expected one of {', '.join(known):.200}")
        self.matrix = np.zeros((len(recognized), len(known)), np.float32)
        for row, name in enumerate(recognized):
            place = places.get(_plain(name), places.get(meant.get(_plain(name), "")))
            if place is not None:
                self.matrix[row, place] = 1
        self.shared = tuple(known[int(place)] for place in np.flatnonzero(self.matrix.any(0)))
        self._same = np.array_equal(self.matrix, np.eye(len(known)))

    def __call__(self, probabilities: Array | None) -> Array | None:
        """(S,) of (A,); None where nothing is known, or where the two share no action."""
        if probabilities is None or self._same:
            return probabilities
        return np.asarray(probabilities @ self.matrix) if self.shared else None

    @property
    def note(self) -> str:
        """What the part states are conditioned on, in one line; empty where all actions are shared."""
        num_known = self.matrix.shape[1]
        if self._same or not num_known:
            return ""
        named = f": {', '.join(self.shared)}" if self.shared else ""
        return f"conditioned on {len(self.shared)} of {num_known} actions that the recognizers know too{named:.2000}"


def read_aliases(file: str) -> dict[str, str]:
    """The aliases of a YAML file or of a shipped `default/NAME`, `recognizer's name: part states' name` a line; none for "".

    Raises:
        InputError: it cannot be read, or holds something else.
    """
    if not file:
        return {}
    name = file.removeprefix(SHIPPED)
    shipped = Path(str(resources.files("pipelines"))) / "configs" / "action_aliases" / f"{name}.yaml"
    value = read_yaml_value(shipped if file.startswith(SHIPPED) and Path(name).name == name else Path(file))
    if not isinstance(value, dict) or not all(isinstance(name, str) for pair in value.items() for name in pair):
        raise InputError(f"{file}: expected lines `recognizer's action: part states' action`")
    return value


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()

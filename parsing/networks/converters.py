"""Checkpoints of other libraries as weights of this project: which stage knows a network, and one way to call it."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, cast

from torch import Tensor, nn

from parsing.configs import nearest
from parsing.errors import InputError
from parsing.networks.checkpoints import read_checkpoint
from parsing.networks.weights import WeightsHeader, sha256_of

Converted = tuple[nn.Module, str, dict[str, Any]]  # the filled network, its component, and the labels of its header
_STAGES = ("detectors.networks.conversion", "recognizers.networks.conversion", "recognizers.superres.conversion")


class Conversion(Protocol):
    """What each stage's module of conversions has."""

    def targets(self) -> Mapping[str, Collection[str]]:
        """Names of what the checkpoints of each library can become."""

    def to_network(
        self, tensors: Mapping[str, Tensor], meta: Mapping[str, Any], origin: Any, target: str, classes: Sequence[str], path: Path
    ) -> Converted:
        """A network filled with a checkpoint's tensors.

        Args:
            tensors, meta: what `read_checkpoint` gives.
            origin, target: one of `targets`.
            classes: names, or one name of a list of them; empty takes those that the checkpoint has.
            path: of the checkpoint, for messages.

        Raises:
            InputError: tensors are missing, left over, or of another shape; or the names are not as many as the classes.
        """


def conversions() -> list[Conversion]:
    """Those of all stages."""
    return [cast(Conversion, importlib.import_module(name)) for name in _STAGES]


def convert_checkpoint(path: Path, origin: str, target: str, classes: Sequence[str]) -> tuple[nn.Module, WeightsHeader]:
    """The network and the header that a checkpoint becomes.

    Raises:
        InputError: the library has no such network, or the checkpoint does not fit; see `Conversion.to_network`.
    """
    known = {name: stage for stage in conversions() for name in stage.targets().get(origin, ())}
    if target not in known:
        raise InputError(f"--to {target}: {origin} has no such network; {nearest(target, known)}")
    tensors, meta = read_checkpoint(path)
    network, component, labels = known[target].to_network(tensors, meta, origin, target, classes, path)
    training = {"converted_from": path.name, "sha256": sha256_of(str(path)) if path.is_file() else None}
    return network, WeightsHeader(component, asdict(cast(Any, network).architecture), labels, {}, training)

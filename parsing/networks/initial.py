"""Weights that a training starts from: layers that fit are taken, rows of classes by their names, and all others are new."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.networks.backbones import Pretrained
from parsing.networks.tensors import check_finite, check_kinds, read_tensors
from parsing.networks.weights import read_header, weights_file

log = logging.getLogger(__name__)
_MOST_NAMED = 8


@dataclass(frozen=True)
class Rows:
    """An axis of a tensor that has a place for each of some names; several blocks of such places may follow each other.

    Args:
        names: list of the header's labels that says which names.
        axis: of the tensor.
        before, after: places of a block around those of the names, such as that of a background class.
        each: neighbouring places that belong to one name.
    """

    names: str
    axis: int = 0
    before: int = 0
    each: int = 1
    after: int = 0

    def places(self, size: int, names: Sequence[str]) -> dict[tuple[Any, ...], int]:
        """What each index of an axis is for; nothing where the size does not fit the names."""
        block = [("before", i) for i in range(self.before)]
        block += [(f"name {name}", i) for name in names for i in range(self.each)]
        block += [("after", i) for i in range(self.after)]
        if not block or size % len(block):
            return {}
        return {key: i for i, key in enumerate(product([size // len(block)], range(size // len(block)), block))}


# Pattern of a tensor's name -> its axes of names; None for tensors that are fitted on data and never taken.
NamedRows = Mapping[str, tuple[Rows, ...] | None]


def pretrained_of(pretrained: Pretrained, initial: str) -> Pretrained:
    """What a new network's backbone is filled with: nothing where it starts from `initial`, so that nothing is asked for."""
    return "none" if initial else pretrained


def start_from(network: nn.Module, initial: str, component: str, labels: Mapping[str, Any], rows: NamedRows) -> None:
    """Take all that fits of a weights file into a new network; what is new is named in the log.

    A tensor is taken whole where its shape is the same, and by rows of the names that both know where it has such.

    Args:
        initial: weights of the same component, as a config names them; empty leaves the network as it is.
        labels: of the new network, as its own header has them.

    Raises:
        InputError: the file cannot be had or is of another component, or nothing in it fits.
    """
    if not initial:
        return
    header, path = read_header(initial, component), weights_file(initial)
    known = {axis.names: _names(header.labels, axis.names, path) for axes in rows.values() for axis in axes or ()}
    source, own = read_tensors(path), network.state_dict()
    taken, partly, kept = {}, set(), set()
    for name, tensor in own.items():
        axes = next((axes for pattern, axes in rows.items() if re.fullmatch(pattern, name)), ())
        if axes is None:
            kept.add(name)
        elif name in source and (shared := _shared(tensor, source[name], axes, labels, known)) is not None:
            mine, theirs = shared
            taken[name] = tensor.clone()
            taken[name][mine] = source[name][theirs].to(tensor.dtype)
            partly |= {name} if taken[name][mine].numel() < tensor.numel() else set()
    if not any(tensor.ndim for tensor in taken.values()):
        raise InputError(f"{path}: initial: no layer of it fits the {component} that is trained; see its architecture")
    check_kinds({name: source[name] for name in taken}, own, path)
    check_finite(taken, path)
    network.load_state_dict(taken, strict=False)
    log.info("%s: %d of %d tensors taken; new: %s", path, len(taken), len(own) - len(kept), _listed(own.keys() - taken.keys() - kept))
    if partly:
        log.info("%s: new for names that it does not know: %s", path, _listed(partly))


def _names(labels: Mapping[str, Any], key: str, path: Path) -> list[str]:
    names = labels.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: header: labels: {key}: {names!r:.80}, expected a list of names")
    return names


def _shared(own: Tensor, source: Tensor, axes: Sequence[Rows], labels: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """An index of what two tensors share, into either; None where they do not fit or share no name."""
    if own.ndim != source.ndim:
        return None
    mine, theirs = ([np.arange(size) for size in tensor.shape] for tensor in (own, source))
    for axis in axes:
        ours, others = labels[axis.names], known[axis.names]
        here, there = axis.places(own.shape[axis.axis], ours), axis.places(source.shape[axis.axis], others)
        both = [] if set(ours).isdisjoint(others) else [key for key in here if key in there]
        mine[axis.axis], theirs[axis.axis] = (np.array([places[key] for key in both], int) for places in (here, there))
    fits = all(len(a) == len(b) and len(a) for a, b in zip(mine, theirs, strict=True))
    return (np.ix_(*mine), np.ix_(*theirs)) if fits else None


def _listed(tensors: set[str]) -> str:
    """The layers of some tensors."""
    layers = sorted({name.rpartition(".")[0] or name for name in tensors})
    more = f" and {len(layers) - _MOST_NAMED} more" if len(layers) > _MOST_NAMED else ""
    return ", ".join(layers[:_MOST_NAMED]) + more or "nothing"

"""The one loop around `fit` that evaluates, keeps weights and notes figures, the same for every stage that uses it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import nn

from parsing.errors import InputError
from parsing.learning.fit import Epoch
from parsing.learning.runs import RunFolder
from parsing.networks.weights import WeightsHeader, save_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluated:
    """An epoch as a trainer judges it.

    Args:
        network: what is saved, without the losses around it.
        header: what its weights say of themselves; its metrics are noted in `metrics.jsonl` too.
        text: the figures that stand in the log.
    """

    network: nn.Module = field(repr=False)
    header: WeightsHeader
    text: str


def experiment(
    epochs: Iterable[Epoch], evaluate: Callable[[Epoch], Evaluated], run: RunFolder, num_epochs: int, every: int, decides: tuple[str, str]
) -> None:
    """Evaluate every so many epochs and after the last; `weights.safetensors` holds the last one, `best.safetensors` the best.

    Args:
        num_epochs: of the whole training.
        decides: group and name of the figure whose highest value makes an epoch the best.

    Raises:
        InputError: the run was begun when `weights.safetensors` still held the best epoch, so the best one has no file of its own.
    """
    best = run.best(*decides)
    if best >= 0 and run.writes and not (run.path / "best.safetensors").is_file():
        raise InputError(f"{run.path}: no best.safetensors; older runs kept the best epoch in weights.safetensors: copy it to that name")
    for epoch in epochs:
        due = (epoch.number + 1) % every == 0 or epoch.number + 1 >= num_epochs
        if not due or not run.writes:
            continue
        found = evaluate(epoch)
        group, name = decides
        figure = float(found.header.metrics[group][name] or 0.0)
        save_weights(found.network, run.path / "weights.safetensors", found.header)
        if figure > best:
            best = figure
            save_weights(found.network, run.path / "best.safetensors", found.header)
        run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **found.header.metrics})
        log.info("epoch %d  %s", epoch.number + 1, found.text)

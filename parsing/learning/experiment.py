"""The training of any stage: what its trainer prepares is fitted, scored every so many epochs, and kept in a run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from parsing.errors import InputError
from parsing.learning.batches import Batches, EpochSampler, EqualBatches
from parsing.learning.fit import Epoch, FitConfig, SeededDataset, agreed, fit
from parsing.learning.runs import RunFolder, figure_at
from parsing.learning.state import default_facts
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import Array

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Scored:
    """What validation says of an epoch.

    Args:
        network: what is saved, without the losses around it.
        metrics: groups of figures, which stand in `metrics.jsonl` and in the header of the weights.
        pictures: (H, W, 3) uint8, by name.
        write: writes further files into the run folder.
    """

    network: nn.Module
    metrics: dict[str, Any]
    pictures: Mapping[str, Array] = field(default_factory=dict)
    write: Callable[[Path], None] | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training that is ready to run.

    Args:
        task, items, collate, weights, batches: as `fit` takes them; `weights` say how often each item is drawn.
        score: validates the task, or the moving average of its weights.
        figures: paths such as `all.AP` of the metrics that are logged; the highest value of the first makes the best epoch.
        architecture, labels, facts, calibration: what the header of the weights says, beside the config's `name`, `fit` and `data`.
        every: epochs between validations; the last epoch is always validated.
        stop_at: value of the first figure at which the training ends.
        keep_epochs: how many of the last epochs that were validated keep their weights in `epochs/`.
    """

    task: nn.Module
    items: SeededDataset
    collate: Callable[[list[Any]], Any]
    score: Callable[[nn.Module], Scored]
    figures: Sequence[str]
    architecture: Any
    labels: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    weights: Sequence[float] | None = None
    batches: Callable[[EpochSampler, int], Batches] = EqualBatches
    every: int = 1
    stop_at: float | None = None
    keep_epochs: int = 0


class Trainer(Protocol):
    """The typed config of a stage's training."""

    @property
    def name(self) -> str:
        """The component that is trained, as its weights say."""

    @property
    def data(self) -> Any: ...

    @property
    def fit(self) -> FitConfig: ...

    @property
    def initial(self) -> str:
        """Weights of the same component that the training starts from (`parsing.networks.initial`); empty for none."""

    def prepare(self, device: str, resumed: bool = False) -> Prepared:
        """Read the data and build the network.

        Args:
            resumed: the network is filled with the state of a run, so nothing that it once started from is asked for.

        Raises:
            InputError: data, weights or settings do not fit.
        """


def experiment(trainer: Trainer, out: Path, *, device: str = "cpu", resume: bool = False, quiet: bool = False) -> None:
    """Train into the run folder `out`: `weights.safetensors` holds the last epoch that was validated, `best.safetensors` the best.

    Raises:
        InputError: something does not fit, or the run was begun when the best epoch had no file of its own.
        FloatingPointError: a loss is not finite.
    """
    torch.manual_seed(trainer.fit.seed)  # initial weights too
    ready = trainer.prepare(device, resume)
    run = RunFolder(out, asdict(trainer), resume, default_facts(trainer))  # type: ignore[call-overload]
    best = run.best(ready.figures[0]) if run.writes else -1.0
    if best >= 0 and not (out / "best.safetensors").is_file():
        raise InputError(
            f"{out}: no best.safetensors; older runs kept their best epoch (of super-resolution the last) in weights.safetensors: "
            "copy it to that name"
        )
    options: dict[str, Any] = {"device": device, "resume": resume, "quiet": quiet}
    for epoch in fit(
        ready.task, ready.items, ready.collate, trainer.fit, run, sample_weights=ready.weights, batches=ready.batches, **options
    ):
        if (epoch.number + 1) % ready.every and epoch.number + 1 < trainer.fit.epochs:
            continue
        figure = -1.0
        if run.writes:
            figure = _validate(trainer, ready, epoch, run, best)
            best = max(best, figure)
        if ready.stop_at is not None and agreed(figure >= ready.stop_at):
            log.info("stopped at %g, as asked", ready.stop_at)
            return


def _validate(trainer: Trainer, ready: Prepared, epoch: Epoch, run: RunFolder, best: float) -> float:
    """The deciding figure of an epoch, which is kept and logged."""
    scored = ready.score(epoch.module)
    figures = {path: figure_at(scored.metrics, path) for path in ready.figures}
    figure = figures[ready.figures[0]] or 0.0
    training = {"epoch": epoch.number, "fit": asdict(trainer.fit), "data": asdict(trainer.data), "initial": trainer.initial, **ready.facts}
    header = WeightsHeader(trainer.name, asdict(ready.architecture), ready.labels, scored.metrics, training, ready.calibration)
    paths = [run.path / "weights.safetensors"]
    paths += [run.path / "best.safetensors"] * (figure > best)
    paths += [run.path / "epochs" / f"epoch_{epoch.number + 1}.safetensors"] * (ready.keep_epochs > 0)
    for path in paths:
        save_weights(scored.network, path, header)
    if ready.keep_epochs:
        for old in sorted(paths[-1].parent.iterdir(), key=lambda path: int(path.stem.split("_")[1]))[: -ready.keep_epochs]:
            old.unlink()
    if scored.write is not None:
        scored.write(run.path)
    for name, picture in scored.pictures.items():
        run.add_image(name, picture, epoch.number)
    run.append_metrics({"epoch": epoch.number, "losses": epoch.losses, **scored.metrics})
    run.add_scalars({f"val/{path}": value for path, value in figures.items()}, epoch.number)
    log.info("epoch %d  %s", epoch.number + 1, "  ".join(f"{path} {value:.4f}" for path, value in figures.items() if value is not None))
    return figure

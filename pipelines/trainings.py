"""Trainings of the stages by their configs, begun once and gone on with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from parsing.configs import StageConfig, chosen_class, parse_config
from pipelines.stages import STAGES

if TYPE_CHECKING:  # help and usage errors need not wait for PyTorch
    from parsing.learning.experiment import Trainer

    class Training(Trainer, Protocol):
        """A typed training config of one stage."""

        def component(self, weights: str) -> StageConfig:
            """The component that a pipeline builds from weights of this training."""

        def evaluate(self, stage: Any, *, device: str) -> dict[str, Any]:
            """Figures of a component of the stage on the validation data."""


FINISHED = "finished"  # the name of a file that says so in a run folder


def training_config(stage: str, settings: dict[str, Any], where: str) -> Training:
    """The typed config of a stage's training.

    Raises:
        InputError: a key or value does not fit; names it.
    """
    return cast("Training", parse_config(chosen_class(STAGES, stage), settings, where))


def is_finished(run: Path) -> bool:
    """Whether a training of `train_once` came to its end."""
    return (run / FINISHED).is_file()


def train_once(training: Training, run: Path, device: str, quiet: bool) -> None:
    """Train, unless it is finished; go on from the last epoch of a run that was stopped."""
    from parsing.learning.experiment import experiment

    if not is_finished(run):
        experiment(training, run, device=device, resume=(run / "state.pt").is_file(), quiet=quiet)
        (run / FINISHED).touch()


def forget_runs(runs: Iterable[Path]) -> None:
    """Let trainings of these folders begin anew."""
    for run in runs:
        for name in (FINISHED, "state.pt"):
            (run / name).unlink(missing_ok=True)

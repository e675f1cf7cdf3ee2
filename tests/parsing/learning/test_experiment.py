"""Which epochs are evaluated, and which weights a run keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from parsing.errors import InputError
from parsing.learning.experiment import Evaluated, experiment
from parsing.learning.fit import Epoch
from parsing.learning.runs import RunFolder
from parsing.networks.weights import WeightsHeader, read_header


def epochs(first: int, count: int) -> Iterator[Epoch]:
    for number in range(first, first + count):
        yield Epoch(number, {"loss": 1.0}, nn.Linear(1, 1))


def keep(path: Path, figures: list[float], *, first: int = 0, every: int = 1, resume: bool = False) -> None:
    """Epochs from `first` on, whose figures stand in `figures` by their numbers."""

    def evaluate(epoch: Epoch) -> Evaluated:
        metrics = {"all": {"ap": figures[epoch.number]}}
        return Evaluated(epoch.module, WeightsHeader("n", {}, {}, metrics, {"epoch": epoch.number}), "")

    run = RunFolder(path, {}, resume)
    try:
        experiment(epochs(first, len(figures) - first), evaluate, run, len(figures), every, ("all", "ap"))
    finally:
        run.close()


def kept(path: Path) -> tuple[int, int]:
    """Epoch of the last weights and of the best."""
    last, best = (read_header(str(path / f"{name}.safetensors"), "n").training["epoch"] for name in ("weights", "best"))
    return last, best


def test_last_and_best_have_a_file_each(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5, 0.3])
    assert kept(tmp_path) == (2, 1)


def test_the_last_epoch_is_evaluated_out_of_turn(tmp_path: Path) -> None:
    keep(tmp_path, [0.9, 0.2, 0.9, 0.3, 0.1], every=2)
    assert [json.loads(line)["epoch"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 3, 4]
    assert kept(tmp_path) == (4, 3)


def test_a_resumed_run_remembers_its_best(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5])
    keep(tmp_path, [0.1, 0.5, 0.4], first=2, resume=True)
    assert kept(tmp_path) == (2, 1)


def test_a_run_whose_best_epoch_has_no_file_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5])
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(InputError, match=r"no best\.safetensors"):
        keep(tmp_path, [0.1, 0.5, 0.4], first=2, resume=True)
    assert read_header(str(tmp_path / "weights.safetensors"), "n").training["epoch"] == 1

"""Which epochs are evaluated, which weights a run keeps, and what a run of before needs to go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from parsing.configs import config
from parsing.errors import InputError
from parsing.learning.experiment import Prepared, Scored, experiment
from parsing.learning.fit import FitConfig
from parsing.learning.state import default_facts
from parsing.networks.weights import read_header


@config
class Width:
    width: int = 1
    slope: tuple[float, ...] = (0.5,)


@config
class Data:
    root: str = "here"


class Line(nn.Module):
    """Its loss is its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return {"weight": self.weight.sum() + 0 * batch.sum()}


class Ones:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, key: tuple[int, int]) -> float:
        return 1.0


@config
class Training:
    """A training whose figures are given, one a validation."""

    figures: ClassVar[Iterator[float | None]]
    fit: FitConfig
    name: Literal["n"] = "n"
    initial: str = ""
    data: Data = field(default_factory=Data)
    architecture: Width = field(default_factory=Width)
    eval_every: int = 1
    keep_epochs: int = 0
    stop_at: float | None = None

    def prepare(self, device: str, resumed: bool = False) -> Prepared:  # noqa: ARG002  # as every trainer
        def score(task: nn.Module) -> Scored:
            metrics = {"all": {"ap": next(self.figures), "ar": None}}
            return Scored(task, metrics, {"dot": np.zeros((2, 2, 3), np.uint8)}, lambda folder: (folder / "scores.txt").touch())

        options: dict[str, Any] = {"every": self.eval_every, "keep_epochs": self.keep_epochs, "stop_at": self.stop_at}
        says: dict[str, Any] = {"architecture": self.architecture, "labels": {"words": ["a"]}, "facts": {"more": 1}}
        return Prepared(Line(), Ones(), torch.tensor, score, ("all.ap", "all.ar"), **says, **options)


def keep(path: Path, figures: Sequence[float | None], *, resume: bool = False, epochs: int | None = None, **options: Any) -> None:
    """Train epochs whose validations give these figures."""
    Training.figures = iter(figures)
    fit = FitConfig(epochs=epochs or len(figures), batch_size=2, lr=0.1, ema_decay=0.0)
    experiment(Training(fit, **options), path, resume=resume, quiet=True)


def rows(path: Path) -> list[int]:
    return [json.loads(line)["epoch"] for line in (path / "metrics.jsonl").read_text().splitlines()]


def kept(path: Path) -> tuple[int, int]:
    """Epoch of the last weights and of the best."""
    last, best = (read_header(str(path / f"{name}.safetensors"), "n").training["epoch"] for name in ("weights", "best"))
    return last, best


def test_last_and_best_have_a_file_each(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5, 0.3])
    assert kept(tmp_path) == (2, 1)
    assert not (tmp_path / "epochs").exists()


def test_a_header_says_what_was_trained(tmp_path: Path) -> None:
    keep(tmp_path, [None])
    header = read_header(str(tmp_path / "best.safetensors"), "n")
    assert header.architecture == {"width": 1, "slope": [0.5]}
    assert header.labels == {"words": ["a"]}
    assert header.metrics == {"all": {"ap": None, "ar": None}}
    assert header.training["data"] == {"root": "here"}
    assert (header.training["more"], header.training["fit"]["lr"]) == (1, 0.1)
    assert (tmp_path / "dot/epoch_1.png").is_file()
    assert (tmp_path / "scores.txt").is_file()


def test_the_last_epoch_is_evaluated_out_of_turn(tmp_path: Path) -> None:
    keep(tmp_path, [0.2, 0.3, 0.1], epochs=5, eval_every=2)
    assert rows(tmp_path) == [1, 3, 4]
    assert kept(tmp_path) == (4, 3)


def test_the_last_epochs_are_kept_and_those_of_a_replaced_run_are_not(tmp_path: Path) -> None:
    keep(tmp_path, [0.1], keep_epochs=1)
    keep(tmp_path, [0.1, 0.2, 0.3], keep_epochs=2)
    assert sorted(path.name for path in (tmp_path / "epochs").iterdir()) == ["epoch_2.safetensors", "epoch_3.safetensors"]


def test_a_training_stops_at_a_figure(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5, 0.9], stop_at=0.5)
    assert rows(tmp_path) == [0, 1]


def test_a_resumed_run_remembers_its_best(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5])
    keep(tmp_path, [0.4], epochs=3, resume=True)
    assert kept(tmp_path) == (2, 1)
    keep(tmp_path, [0.6], epochs=4, resume=True)
    assert kept(tmp_path) == (3, 3)


def test_a_run_whose_best_epoch_has_no_file_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, [0.1, 0.5])
    (tmp_path / "best.safetensors").unlink()
    before = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"no best\.safetensors; .* copy it to that name$"):
        keep(tmp_path, [0.4], epochs=3, resume=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == before
    (tmp_path / "best.safetensors").write_bytes(before)
    keep(tmp_path, [0.4], epochs=3, resume=True)
    assert kept(tmp_path) == (2, 1)


@pytest.mark.parametrize(("width", "goes_on"), [(1, True), (2, False)])
def test_settings_that_a_run_of_before_did_not_name_had_their_defaults(tmp_path: Path, width: int, goes_on: bool) -> None:
    keep(tmp_path, [0.1], architecture=Width(width))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["facts"].pop("architecture.width") == width
    torch.save(state, tmp_path / "state.pt")
    if goes_on:
        keep(tmp_path, [0.2], epochs=2, resume=True, architecture=Width(width))
        assert rows(tmp_path) == [0, 1]
    else:
        with pytest.raises(InputError, match=r"architecture\.width 1, now 2; restore them"):
            keep(tmp_path, [0.2], epochs=2, resume=True, architecture=Width(width))


@config
class Derived:
    sides: tuple[float, ...]
    most: float | None = None
    inner: tuple[Width, ...] = (Width(2),)

    def __post_init__(self) -> None:
        object.__setattr__(self, "most", max(self.sides) if self.most is None else self.most)


def test_the_default_of_a_setting_may_follow_from_others() -> None:
    assert default_facts(Derived((1.0, 3.0), 9.0)) == {"most": 3.0, "inner": [{"width": 2, "slope": [0.5]}]}

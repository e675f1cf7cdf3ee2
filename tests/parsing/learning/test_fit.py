import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.learning.batches import EpochSampler
from parsing.learning.fit import FitConfig, backbone_depths, fit, learning_rate_scale, parameter_groups
from parsing.learning.runs import RunFolder


class Points:
    """Noisy samples of a line; the noise comes from the seed that the sampler gives."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, key: tuple[int, int]) -> tuple[float, float]:
        index, seed = key
        return float(index), 2.0 * index + float(np.random.default_rng(seed).normal(0, 0.1))


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(1, 4)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(4, 1)

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        x, y = batch[:, :1], batch[:, 1:]
        return {"square": (self.head(self.dropout(self.backbone(x))) - y).pow(2).mean()}


class Broken(Line):
    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return super().forward(batch) | {"angle": batch.sum() * float("nan")}


def collate(items: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(items)


def settings(epochs: int = 4, **changed: Any) -> FitConfig:
    return FitConfig(epochs=epochs, batch_size=3, lr=0.01, ema_decay=0.9, seed=3, **changed)


def train(out: Path, stop_after: int | None = None, resume: bool = False, **changed: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    task, weights, run = Line(), {}, RunFolder(out, {}, resume)
    draws = [1.0] * 11 + [5.0]
    for epoch in fit(task, Points(), collate, settings(**changed), run, sample_weights=draws, resume=resume, quiet=True):
        weights = {name: value.clone() for name, value in epoch.module.state_dict().items()}
        if stop_after == epoch.number:
            break
    return weights


@pytest.mark.parametrize("changed", [{}, {"accumulate": 3}, {"num_workers": 1}])
def test_resumed_training_equals_training_never_stopped(tmp_path: Path, changed: dict[str, Any]) -> None:
    whole = train(tmp_path / "whole", **changed)
    train(tmp_path / "parts", stop_after=2, **changed)  # killed before the state of its third epoch is written
    resumed = train(tmp_path / "parts", resume=True, **changed)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_steps_that_are_left_make_an_update_of_their_own(tmp_path: Path) -> None:
    """Four steps to an epoch: with 8 that accumulate, an epoch is one update of their mean."""
    plain = {"ema_decay": 0.0, "epochs": 1, "optimizer": "sgd", "clip_grad": 1e9, "warmup": 0.0, "weight_decay": 0.0}
    found = []
    for batch_size, accumulate in ((12, 1), (3, 8), (3, 4)):
        torch.manual_seed(0)
        task = Line()
        task.dropout.p = 0.0
        config = FitConfig(batch_size=batch_size, accumulate=accumulate, lr=0.01, **plain)  # type: ignore[arg-type]
        list(fit(task, Points(), collate, config, RunFolder(tmp_path, {}), quiet=True))
        found.append(torch.cat([p.detach().flatten() for p in task.parameters()]))
    torch.manual_seed(0)
    assert not torch.allclose(found[0], torch.cat([p.detach().flatten() for p in Line().parameters()]))
    assert torch.allclose(found[0], found[1], rtol=1e-4)
    assert torch.allclose(found[0], found[2], rtol=1e-4)


class Unreadable(Points):
    def __getitem__(self, key: tuple[int, int]) -> tuple[float, float]:
        raise InputError(f"item {key[0] * 0}: cannot be read")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_what_cannot_be_read_is_one_line_from_workers_too(tmp_path: Path, num_workers: int) -> None:
    with pytest.raises(InputError, match=r"^item 0: cannot be read$"):
        list(fit(Line(), Unreadable(), collate, settings(num_workers=num_workers), RunFolder(tmp_path, {}), quiet=True))


def test_loss_falls(tmp_path: Path) -> None:
    torch.manual_seed(0)
    losses = [e.losses["square"] for e in fit(Line(), Points(), collate, settings(12), RunFolder(tmp_path, {}), quiet=True)]
    assert losses[-1] < losses[0] / 2


def test_resume_needs_a_state_of_the_same_settings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume from"):
        train(tmp_path, resume=True)
    train(tmp_path)
    other = FitConfig(epochs=4, batch_size=3, lr=0.02, ema_decay=0.9, seed=3)
    with pytest.raises(InputError, match=r"other settings: fit\.lr 0\.01, now 0\.02; restore"):
        next(fit(Line(), Points(), collate, other, RunFolder(tmp_path, {}, resume=True), resume=True, quiet=True))
    wide = Line()
    wide.head = nn.Linear(4, 2)
    with pytest.raises(InputError, match=r"state\.pt: of another network"):
        next(fit(wide, Points(), collate, settings(), RunFolder(tmp_path, {}, resume=True), resume=True, quiet=True))
    RunFolder(tmp_path, {})  # a new run does not go on from the state of the one before
    with pytest.raises(InputError, match="nothing to resume from"):
        train(tmp_path, resume=True)


def test_epochs_may_be_raised(tmp_path: Path) -> None:
    """The rate of the epochs that are added is that of a run planned so from the start."""
    train(tmp_path)
    planned = settings(epochs=6)
    epochs = fit(Line(), Points(), collate, planned, RunFolder(tmp_path, {}, resume=True), resume=True, quiet=True)
    assert [epoch.number for epoch in epochs] == [4, 5]
    group = torch.load(tmp_path / "state.pt", weights_only=True)["optimizer"]["param_groups"][0]
    assert group["lr"] == pytest.approx(0.01 * learning_rate_scale(23, 24, planned))  # four steps to each of six epochs
    with pytest.raises(InputError, match=r"fit\.epochs 6, now 4; on --resume they may be raised alone"):
        train(tmp_path, resume=True)


def test_what_changes_nothing_may_change_on_resume(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop_after=2)
    resumed = train(tmp_path / "parts", resume=True, num_workers=1, log_every=7)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_loss_that_is_not_finite_stops_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="loss angle is not finite"):
        next(fit(Broken(), Points(), collate, settings(), RunFolder(tmp_path, {}), quiet=True))


def test_run_folder_says_what_it_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run", {"lr": 0.1})
    assert run.best("all.AP") == -1
    for epoch, ap in enumerate((0.5, 0.6, None)):
        run.append_metrics({"epoch": epoch, "all": {"AP": ap}})
    run.begin()
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"lr": 0.1}
    assert "torch" in json.loads((tmp_path / "run/environment.json").read_text())
    assert [json.loads(line)["all"]["AP"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()] == [0.5, 0.6, None]
    assert RunFolder(tmp_path / "run", {}, resume=True).best("all.AP") == 0.6
    again = RunFolder(tmp_path / "run", {}, resume=True)
    again.append_metrics({"epoch": 1, "all": {"AP": 0.4}})  # the run was killed before it wrote the state of its second epoch
    assert [json.loads(line)["all"]["AP"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()] == [0.5, 0.4]
    assert RunFolder(tmp_path / "run", {}).best("all.AP") == -1


def test_only_the_first_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    run = RunFolder(tmp_path, {})
    run.begin()
    run.append_metrics({"epoch": 0, "all": {"AP": 0.5}})
    run.add_image("examples", np.zeros((8, 8, 3), np.uint8), 0)
    run.close()
    assert not list(tmp_path.iterdir())


def test_ranks_share_an_epoch_without_overlap() -> None:
    drawn = [list(EpochSampler(10, None, 1, rank, 2)) for rank in range(2)]
    indices = [index for slice_ in drawn for index, _ in slice_]
    assert sorted(indices) == list(range(10))
    assert list(EpochSampler(10, None, 1)) == list(EpochSampler(10, None, 1))


def test_epochs_differ_and_weights_count() -> None:
    sampler = EpochSampler(400, [1.0] * 399 + [399.0], 0)
    first = list(sampler)
    sampler.epoch = 1
    assert first != list(sampler)
    assert sum(index == 399 for index, _ in first) == pytest.approx(200, abs=50)


def test_learning_rate_by_hand() -> None:
    settings = FitConfig(1, 1, 1.0, warmup=0.1)
    scales = [learning_rate_scale(update, 100, settings) for update in (0, 10, 55, 100)]
    assert scales == pytest.approx([0.1, 1, 0.505, 0.01])
    restarts = replace(settings, cycles=3)
    assert [learning_rate_scale(update, 100, restarts) for update in (10, 25, 40, 55, 100)] == pytest.approx([1, 0.505, 1, 0.505, 0.01])
    steps = replace(settings, schedule="step", cycles=3)
    assert [learning_rate_scale(update, 100, steps) for update in (10, 39, 40, 70, 100)] == pytest.approx([1, 1, 0.1, 0.01, 0.01])


def test_backbone_has_its_own_rate_and_vectors_no_decay() -> None:
    groups = parameter_groups(Line(), FitConfig(epochs=1, batch_size=1, lr=1.0, backbone_lr_scale=0.1, weight_decay=0.5))
    found = {(group["lr"], group["weight_decay"]): len(group["params"]) for group in groups}
    assert found == {(0.1, 0.5): 1, (0.1, 0.0): 1, (1.0, 0.5): 1, (1.0, 0.0): 1}


def test_layer_decay_lowers_the_rate_block_by_block_towards_the_input() -> None:
    names = [
        "backbone.net.patch_embed.proj.weight", "backbone.net.layers_0.blocks.0.a", "backbone.net.layers_0.blocks.0.b",
        "backbone.net.layers_1.downsample.reduction.weight", "backbone.net.layers_1.blocks.0.a", "backbone.output_norms.0.weight", "head.a",
    ]  # fmt: skip
    assert backbone_depths(names) == {names[0]: 3, names[1]: 2, names[2]: 2, names[3]: 1, names[4]: 0, names[5]: 0}
    task = nn.ModuleDict(
        {"backbone": nn.ModuleDict({"layer1": nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])}), "head": nn.Linear(2, 2)}
    )
    rates = {group["lr"] for group in parameter_groups(task, FitConfig(1, 1, lr=1.0, layer_decay=0.5, backbone_lr_scale=0.5))}
    assert rates == {1.0, 0.5, 0.25}


def test_run_folder_keeps_curves_and_pictures(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, {})
    run.add_scalars({"val/AP": 0.5, "val/AR": None}, 0)
    run.add_image("examples", np.full((8, 8, 3), (200, 0, 0), np.uint8), 0)
    assert (tmp_path / "examples" / "epoch_1.png").stat().st_size > 0
    assert any(path.name.startswith("events.out") for path in tmp_path.iterdir())

"""Ways to train: losses, stages, distillation, multigrid, blocks computed again, epochs kept."""

import copy
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_clips

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.learning.batches import EpochSampler
from parsing.learning.experiment import experiment
from recognizers.clips.multigrid import MultigridBatches
from recognizers.labels import ActionLabels
from recognizers.losses import ActionLossConfig, action_loss
from recognizers.networks import NetworkName, parse_architecture
from recognizers.networks.tsm import TSM, TSMArchitecture
from recognizers.scores import SavedScores
from recognizers.task import RecognitionTask, checkpoint_blocks
from recognizers.train import RecognizerTraining

SMALL: dict[NetworkName, dict[str, Any]] = {
    "slowfast": {"frames": 4, "interval": 1, "depth": 26, "width": 8, "alpha": 2, "beta": 4, "input_px": 32},
    "tsm": {"backbone": "test_resnet", "level": 2, "num_segments": 4, "input_px": 32},
    "tanet": {"backbone": "resnet26", "segments": 4, "input_px": 32},
    "csn": {"frames": 4, "interval": 1, "depth": 26, "width": 8, "input_px": 32},
}


def settings_of(root: Path, **changed: Any) -> dict[str, Any]:
    fit = {"epochs": 2, "batch_size": 4, "lr": 0.01, "ema_decay": 0.0} | changed.pop("fit", {})
    return {
        "name": "slowfast",
        "architecture": SMALL["slowfast"],
        "data": {"root": str(root), "short_side_px": 32},
        "fit": fit,
    } | changed


def train(settings: dict[str, Any], out: Path) -> list[dict[str, Any]]:
    experiment(parse_config(RecognizerTraining, settings, "t"), out, quiet=True)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_losses_by_hand() -> None:
    logits, labels = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    p = torch.sigmoid(torch.tensor(2.0))
    bce = (np.log(2) - torch.log(1 - p)) / 2
    assert action_loss(logits, labels, ActionLossConfig("bce")) == pytest.approx(float(bce))
    focal = (0.25 * np.log(2) - p**2 * torch.log(1 - p)) / 2
    assert action_loss(logits, labels, ActionLossConfig("focal", gamma=2.0)) == pytest.approx(float(focal))
    lowered = p - 0.1
    asymmetric = (np.log(2) - lowered**3 * torch.log(1 - lowered)) / 2
    found = action_loss(logits, labels, ActionLossConfig("asymmetric", gamma_negative=3.0, clip=0.1))
    assert found == pytest.approx(float(asymmetric), rel=1e-5)
    single = action_loss(logits, labels, ActionLossConfig(label_smoothing=0.0))
    assert single == pytest.approx(float(torch.log(1 + torch.exp(torch.tensor(2.0)))))


def test_distillation_by_hand() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(clips), 2)

    task = RecognitionTask(Fixed(), ActionLossConfig("bce"), alpha=0.25)
    losses = task((torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.9, 0.5]])))
    assert losses["action"] == pytest.approx(0.25 * np.log(2))
    assert losses["distillation"] == pytest.approx(0.75 * (0.4**2 + 0) / 2)


def test_a_student_learns_from_saved_scores(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    names = [f"c/{label}{i}.mp4" for label in ("bright", "dark") for i in range(4)]
    n = len(names)
    logits = np.array([[4.0, 0.0]] * 4 + [[0.0, 4.0]] * 4)
    columns = np.array(names), np.array(["bright", "dark"]), np.full((n, 2), -1), logits, np.ones(n), np.ones(n, bool)
    SavedScores("teacher", *columns, multi_label=False).save(tmp_path / "k.npz")
    rows = train(settings_of(root, distillation={"scores": str(tmp_path / "k.npz"), "alpha": 0.5}), tmp_path / "run")
    assert set(rows[0]["losses"]) == {"action", "distillation"}
    SavedScores("teacher", *(column[: n - 1] if len(column) == n else column for column in columns), multi_label=False).save(
        tmp_path / "less.npz"
    )
    with pytest.raises(InputError, match=r"less\.npz: no scores of 1 of 8 clips, the first 'c/dark3\.mp4'"):
        train(settings_of(root, distillation={"scores": str(tmp_path / "less.npz")}), tmp_path / "run")


def test_stages_stop_where_asked_and_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_clips(tmp_path / "c")
    with caplog.at_level(logging.INFO):
        rows = train(settings_of(root, views={"still": True}, stop_at=0.5, fit={"epochs": 5}), tmp_path / "still")
    assert len(rows) < 5
    assert "stopped at 0.5" in caplog.text
    again = settings_of(root, initial=str(tmp_path / "still/best.safetensors"), architecture=SMALL["slowfast"] | {"frames": 8})
    assert len(train(again, tmp_path / "clips")) == 2


def test_the_last_epochs_and_the_best_are_kept(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    train(settings_of(root, keep_epochs=2, fit={"epochs": 3}), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run/epochs").iterdir()) == ["epoch_2.safetensors", "epoch_3.safetensors"]
    assert (tmp_path / "run/best.safetensors").is_file()
    assert (tmp_path / "run/confusion.png").stat().st_size > 1000


def test_multigrid_follows_the_published_cycles() -> None:
    batches = MultigridBatches(EpochSampler(64, None, 0), 2, "long", 16, 224, epochs=9, parts=2)
    shapes = []
    for epoch in range(9):
        batches.begin(epoch)
        shapes.append((*{(frames, size) for *_, frames, size in next(iter(batches))}, batches.lr_scale))
    long = [((4, 160), 8.0), ((8, 160), 4.0), ((8, 224), 2.0), ((16, 224), 1.0)]
    assert [shape for shape, _ in shapes] == [long[i][0] for i in (0, 0, 1, 2, 3, 0, 1, 2, 3)]
    assert [scale for _, scale in shapes] == [long[i][1] for i in (0, 0, 1, 2, 3, 0, 1, 2, 3)]


def test_short_cycles_change_from_batch_to_batch_and_see_every_clip_once() -> None:
    batches = MultigridBatches(EpochSampler(56, None, 0), 4, "short", 8, 112, epochs=4, parts=1, frames_multiple=2)
    batches.begin(1)
    seen = list(batches)
    assert len(seen) == batches.steps(1)
    assert [({key[3] for key in batch}, len(batch)) for batch in seen[:4]] == [({56}, 16), ({80}, 8), ({112}, 4), ({56}, 16)]
    indices = [key[0] for batch in seen for key in batch]
    assert len(indices) == len(set(indices))
    assert len(indices) > 56 - 4
    assert batches.lr_scale == 1


@pytest.mark.parametrize("name", ["slowfast", "tanet", "tsm"])
def test_networks_train_on_a_multigrid(name: NetworkName, tmp_path: Path) -> None:
    root = write_clips(tmp_path / "c")
    settings = settings_of(root, name=name, architecture=SMALL[name], multigrid="both", fit={"epochs": 4})
    rows = train(settings, tmp_path / "run")
    assert len(rows) == 4
    assert rows[-1]["all"]["num_videos"] == 2


def test_copies_of_tsm_shift_by_their_own_clips() -> None:
    torch.manual_seed(0)
    network = TSM(TSMArchitecture("test_resnet", level=2, num_segments=4, input_px=32), 2).eval()
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.inference_mode():
        expected = network(clips)
        twin = copy.deepcopy(network)
        network(clips[:, :2])
        assert torch.equal(twin(clips), expected)


def test_residual_tsm_sees_changes_alone() -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match="snippet: 1, expected at least 2"):
        TSM(TSMArchitecture("test_resnet", level=2, input="residual"), 2)
    network = TSM(TSMArchitecture("test_resnet", level=2, num_segments=2, snippet=2, input="residual", input_px=32), 2).eval()
    clips = torch.rand(1, 4, 3, 32, 32) / 2
    with torch.inference_mode():
        assert torch.allclose(network(clips), network(clips + 0.3), atol=1e-5)
        assert not torch.allclose(network(clips), network(clips.flip(1)), atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_blocks_computed_again_give_the_same_gradients_and_statistics(name: NetworkName) -> None:
    torch.manual_seed(0)
    a = parse_architecture(name, SMALL[name] | {"dropout": 0.0}, "t")
    plain = a.build("abc").train()
    again = copy.deepcopy(plain)
    assert checkpoint_blocks(again) > 1
    again = copy.deepcopy(again)  # as the moving average of weights does
    clips = torch.rand(2, a.sampling.clip_frames, 3, 32, 32)
    for network in (plain, again):
        network(clips).square().sum().backward()
    for (key, one), (_, two) in zip(plain.named_parameters(), again.named_parameters(), strict=True):
        assert one.grad is not None, key
        assert torch.allclose(one.grad, two.grad, atol=1e-5), key  # type: ignore[arg-type]
    for (key, first), (_, second) in zip(plain.named_buffers(), again.named_buffers(), strict=True):
        if not key.endswith("num_batches_tracked"):
            assert torch.allclose(first, second, atol=1e-6), key


def test_the_rate_of_a_multigrid_grows_with_batches_that_there_are() -> None:
    batches = MultigridBatches(EpochSampler(6, None, 0), 4, "long", 16, 224, epochs=9, parts=1)
    batches.begin(0)
    assert [len(batch) for batch in batches] == [6]
    assert batches.lr_scale == 1.5
    batches = MultigridBatches(EpochSampler(2, None, 0), 4, "both", 16, 224, epochs=9, parts=1)
    assert [(batches.steps(epoch), batches.lr_scale) for epoch in (0, 8)] == [(1, 1.0), (1, 1.0)]


def test_labels_know_their_mirror_images() -> None:
    sided = (
        "turn left",
        "TurnRight",
        "upright",
        "turn right",
        "from left to right",
        "TurnLeft",
        "from right to left",
        "kick-left",
        "kick-right",
    )
    assert ActionLabels(sided).mirrored().tolist() == [3, 5, 2, 0, 6, 1, 4, 8, 7]
    labels = ActionLabels(("wave_left", "pass", "wave_right", "get"), mirrors=(("pass", "get"),))
    assert labels.mirrored().tolist() == [2, 3, 0, 1]
    assert ActionLabels.from_header(_header(labels), "f") == labels
    with pytest.raises(InputError, match="mirrors: 'put' is no action"):
        ActionLabels(("a", "b"), mirrors=(("a", "put"),)).mirrored()


def _header(labels: ActionLabels) -> Any:
    from parsing.networks.weights import WeightsHeader

    return WeightsHeader("tsm", {}, json.loads(json.dumps(labels.to_header())))

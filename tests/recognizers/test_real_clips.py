"""Every network learns a few real clips by heart; skipped where they are absent."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parsing.datasets.clips import read_csv
from recognizers.clips.store import ClipStore
from recognizers.clips.training_views import ClipViews, Targets, ViewConfig, collate
from recognizers.losses import ActionLossConfig
from recognizers.networks import NetworkName, parse_architecture
from recognizers.task import RecognitionTask

LABELS = Path(__file__).parents[3] / "shared/data/actions/labels.csv"
SMALL: dict[NetworkName, dict[str, Any]] = {
    "tsm": {"backbone": "test_resnet", "level": 2, "num_segments": 4, "input_px": 48},
    "slowfast": {"frames": 8, "interval": 2, "depth": 26, "width": 16, "alpha": 4, "beta": 4, "input_px": 48},
    "csn": {"frames": 8, "depth": 26, "width": 16, "input_px": 48},
    "tanet": {"backbone": "resnet26", "segments": 4, "input_px": 48},
    "uniformer": {"size": "small", "frames": 4, "interval": 4, "input_px": 32},
    "video_swin": {"size": "tiny", "frames": 4, "interval": 4, "input_px": 32},
    "r2plus1d": {"depth": 18, "frames": 4, "interval": 4, "input_px": 32},
    "resnet3d": {"depth": 26, "width": 16, "frames": 4, "interval": 4, "input_px": 48},
    "mfnet": {"width": 32, "frames": 8, "interval": 2, "input_px": 64},
    "timesformer": {"width": 48, "depth": 2, "heads": 2, "frames": 4, "interval": 4, "input_px": 48},
}


@pytest.mark.skipif(not LABELS.is_file(), reason="the action clips are not here")
@pytest.mark.parametrize("name", SMALL)
def test_the_loss_falls_on_real_clips(name: NetworkName) -> None:
    records = [r for r in read_csv(LABELS) if r.split == "train" and r.labels[0] in ("fall", "jumping_jack")][:4:2]
    records += [r for r in read_csv(LABELS) if r.split == "train" and r.labels[0] == "run"][:2]
    actions = sorted({r.labels[0] for r in records})
    torch.manual_seed(0)
    a = parse_architecture(name, SMALL[name] | ({} if name == "uniformer" else {"dropout": 0.0}), "t")
    labels = np.array([[label == r.labels[0] for label in actions] for r in records], np.float32)
    store = ClipStore(records, a.sampling, 32, 64, 100)
    targets = Targets(labels, np.zeros((len(records), 0), np.float32), np.arange(len(actions)))
    views = ClipViews(store, targets, a.sampling, a.input_px, ViewConfig(), kind=a.input)
    batch = collate([views[(i, 0)] for i in range(len(records))])
    task = RecognitionTask(a.build(actions), ActionLossConfig(label_smoothing=0.0)).train()
    optimizer = torch.optim.AdamW(task.parameters(), 1e-3)
    losses = []
    for _ in range(7):
        loss = task(batch)["action"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[-2:]) < 0.9 * losses[0], losses

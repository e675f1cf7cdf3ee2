"""Folded norms change no output."""

from typing import Any

import pytest
import torch
from torch import nn

from recognizers.networks import NetworkName, parse_architecture
from recognizers.networks.folding import fold_norms

SMALL: dict[NetworkName, dict[str, Any]] = {
    "slowfast": {"frames": 8, "depth": 26, "width": 8, "alpha": 4, "beta": 4, "input_px": 32, "variants": {"pooling": True, "tam": True}},
    "csn": {"frames": 4, "depth": 26, "width": 8, "mode": "ip", "input_px": 32},
    "tanet": {"backbone": "resnet26", "segments": 4, "input_px": 32},
    "tsm": {"backbone": "tf_efficientnet_lite0", "num_segments": 2, "input_px": 32},
    "r2plus1d": {"depth": 18, "frames": 4, "input_px": 32},
    "r3d": {"frames": 4, "input_px": 32},
    "resnet3d": {"frames": 4, "depth": 26, "width": 8, "input_px": 32},
    "mfnet": {"frames": 4, "width": 16, "input_px": 32},
    "timesformer": {"frames": 2, "width": 24, "depth": 1, "heads": 2, "input_px": 32},
    "uniformer": {"size": "tiny", "frames": 4, "input_px": 32},
    "video_swin": {"size": "tiny", "frames": 2, "input_px": 32},
    "mvit": {"frames": 2, "input_px": 32},
    "s3d": {"frames": 4, "input_px": 32},
}


@pytest.mark.parametrize("name", SMALL)
def test_outputs_stay(name: NetworkName) -> None:
    torch.manual_seed(0)
    a = parse_architecture(name, SMALL[name], "t")
    network = a.build("abc")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    network.eval()
    clips = torch.rand(1, a.sampling.clip_frames, 3, 32, 32)
    with torch.inference_mode():
        before = network(clips)
    folded = fold_norms(network)
    with torch.inference_mode():
        after = network(clips)
    assert (folded > 10) == (name not in ("uniformer", "video_swin", "mvit", "timesformer")), folded
    assert torch.allclose(after, before, atol=1e-4 * float(before.abs().max()) + 1e-5)

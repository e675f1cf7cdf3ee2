"""What is special of PyTorchVideo's networks; test_reference_parity.py compares outputs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from video_parity import ACTIONS, seeded_checkpoint

from parsing.errors import InputError
from parsing.networks.converters import convert_checkpoint
from parsing.types import Frame
from pipelines import convert as convert_command
from recognizers.clips.test_views import View
from recognizers.networks import parse_architecture
from recognizers.networks.conversion import DIFFERING, TARGETS, convert, num_actions_of
from recognizers.networks.slowfast import SlowFast, SlowFastArchitecture
from recognizers.video import VideoRecognizerConfig

HERE = Path("seeded.pyth")


def test_slow_frames_spread_from_the_first_to_the_last() -> None:
    """Of 32 frames, eight as PyTorchVideo's own transform picks them."""
    architecture = SlowFastArchitecture(depth=26, width=8, alpha=4, slow_frames="spread")
    clips, seen = torch.rand(1, 32, 3, 32, 32), []
    for a in (architecture, replace(architecture, slow_frames="strided")):
        network = SlowFast(a, 2).eval()
        network.slow.stem.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        network(clips)
    x = network.normalise(clips)
    assert torch.equal(seen[0], x[:, :, [0, 4, 8, 13, 17, 22, 26, 31]])
    assert torch.equal(seen[1], x[:, :, [0, 4, 8, 12, 16, 20, 24, 28]])


def test_other_networks_and_checkpoints_are_refused() -> None:
    tensors = seeded_checkpoint("pytorchvideo_csn_ir_101")
    assert num_actions_of(tensors, HERE) == 20
    listed = "csn_ir_101, mvit_v1_base, mvit_v1_base_32x3, resnet3d_50_8x8, slowfast_r101_8x8, slowfast_r50_4x16, slowfast_r50_8x8"
    for target in ("csn_ir_152", "slowfast_r101_4x16", "r2plus1d_34"):
        with pytest.raises(InputError, match=f"--to {target}: pytorchvideo has no such network; .*valid: {listed}$"):
            convert_checkpoint(HERE, "pytorchvideo", target, ACTIONS)
    with pytest.raises(InputError, match=r"seeded\.pyth: not a checkpoint of slowfast_r50_8x8: \d+ missing"):
        convert(tensors, "pytorchvideo", "slowfast_r50_8x8", ACTIONS, HERE)
    with pytest.raises(InputError, match=r"has shape \(16, 8, 7, 1, 1\), expected \(16, 8, 5, 1, 1\)"):
        convert(seeded_checkpoint("pytorchvideo_slowfast_r50_8x8"), "pytorchvideo", "slowfast_r50_4x16", ACTIONS, HERE)


def test_the_command_line_converts_a_published_file_and_the_header_says_the_colours(tmp_path: Path) -> None:
    torch.save({"model_state": seeded_checkpoint("pytorchvideo_csn_ir_101")}, tmp_path / "csn.pyth")
    out = tmp_path / "csn.safetensors"
    command = ["pytorchvideo", str(tmp_path / "csn.pyth"), "--to", "csn_ir_101", "--out", str(out), "--quiet", "--classes", *ACTIONS]
    assert convert_command.main(convert_command.build_parser().parse_args(command)) == 0
    stage = VideoRecognizerConfig("csn", str(out), (View(),)).build("cpu")
    assert stage.network.normalise.mean.flatten().tolist() == pytest.approx([0.45] * 3)  # type: ignore[union-attr, operator]
    assert stage.architecture.norm_eps == 1e-5  # type: ignore[attr-defined]
    stage.architecture = replace(stage.architecture, frames=4, input_px=32)  # type: ignore[type-var]
    frames = {i: Frame("a", i, 0.0, np.full((40, 40, 3), 20 * i, np.uint8)) for i in range(4)}
    assert stage(frames, 4).probabilities.sum() == pytest.approx(1, abs=1e-4)


def test_published_sizes() -> None:
    """Parameters in millions, as PyTorchVideo's model zoo lists them."""
    sizes = {
        "slowfast_r50_4x16": 34.48,
        "slowfast_r50_8x8": 34.57,
        "slowfast_r101_8x8": 62.83,
        "csn_ir_101": 22.21,
        "resnet3d_50_8x8": 32.45,
        "mvit_v1_base": 36.61,
    }
    for target, size in sizes.items():
        name, fields = TARGETS[target]
        with torch.device("meta"):
            network = parse_architecture(name, fields | DIFFERING["pytorchvideo"][target], target).build([str(i) for i in range(400)])
        assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == size

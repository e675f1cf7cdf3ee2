#!/usr/bin/env python3
"""Outputs of mmaction2's recognizers for seeded weights and one seeded clip, which the parity tests compare with.

    make .venv-openmmlab/installed && .venv-openmmlab/bin/python scripts/make_mmaction_fixtures.py [NAME …]

or, for the models alone, without compiling mmcv:

    .venv/bin/python -m pip install --target SCRATCH --no-deps mmaction2==1.2.0 mmengine==0.10.7 mmcv-lite==2.1.0 \\
        addict yapf termcolor platformdirs einops decord importlib-metadata==8.7.0 zipp
    PYTHONPATH=SCRATCH .venv/bin/python scripts/make_mmaction_fixtures.py [NAME …]

Writes tests/data/mmaction_NAME.npz: names and shapes of mmaction2's tensors, and the logits. The weights themselves
follow from their names (tests/seeded.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from recognizers.adapters.mmaction2 import stand_in_for_what_the_wheel_lacks

stand_in_for_what_the_wheel_lacks()

from mmaction.registry import MODELS
from mmaction.utils import register_all_modules
from seeded import seeded_clip, seeded_tensor

NUM_CLASSES, SIZE = 20, 64
COMPUTED = ("relative_position_index",)


def i3d_head(channels: int) -> dict[str, Any]:
    return {"type": "I3DHead", "num_classes": NUM_CLASSES, "in_channels": channels, "spatial_type": "avg", "dropout_ratio": 0.0}


def tsm_head() -> dict[str, Any]:
    return {"type": "TSMHead", "num_classes": NUM_CLASSES, "in_channels": 2048, "num_segments": 8, "dropout_ratio": 0.0}


def pathway(fast: bool) -> dict[str, Any]:
    common = {"type": "resnet3d", "depth": 50, "pretrained": None, "conv1_stride_t": 1, "pool1_stride_t": 1, "norm_eval": False}
    if fast:
        return common | {"lateral": False, "base_channels": 8, "conv1_kernel": (5, 7, 7)}
    return common | {"lateral": True, "conv1_kernel": (1, 7, 7), "inflate": (0, 0, 1, 1)}


def slowfast(rate: int) -> dict[str, Any]:
    extra = {} if rate == 8 else {"fusion_kernel": 7}
    backbone = {"type": "ResNet3dSlowFast", "pretrained": None, "resample_rate": rate, "speed_ratio": rate, "channel_ratio": 8}
    head = {"type": "SlowFastHead", "in_channels": 2304, "num_classes": NUM_CLASSES, "dropout_ratio": 0.0}
    return {"backbone": backbone | {"slow_pathway": pathway(False) | extra, "fast_pathway": pathway(True)}, "cls_head": head}


def csn(mode: str) -> dict[str, Any]:
    backbone = {
        "type": "ResNet3dCSN",
        "pretrained": None,
        "pretrained2d": False,
        "depth": 152,
        "with_pool2": False,
        "bottleneck_mode": mode,
    }
    return {"backbone": backbone | {"norm_eval": False}, "cls_head": i3d_head(2048)}


def uniformer(depth: list[int]) -> dict[str, Any]:
    backbone = {"type": "UniFormer", "depth": depth, "embed_dim": [64, 128, 320, 512], "head_dim": 64}
    return {"backbone": backbone, "cls_head": i3d_head(512)}


SWIN_T = {
    "type": "SwinTransformer3D",
    "arch": "tiny",
    "pretrained": None,
    "pretrained2d": False,
    "patch_size": (2, 4, 4),
    "window_size": (8, 7, 7),
}
SLOW_ONLY = pathway(False) | {"type": "ResNet3dSlowOnly", "lateral": False}
R2PLUS1D = {
    "type": "ResNet2Plus1d",
    "depth": 34,
    "pretrained": None,
    "pretrained2d": False,
    "norm_eval": False,
    "conv_cfg": {"type": "Conv2plus1d"},
    "norm_cfg": {"type": "SyncBN", "requires_grad": True, "eps": 1e-3},
    "conv1_kernel": (3, 7, 7),
    "conv1_stride_t": 1,
    "pool1_stride_t": 1,
    "inflate": (1, 1, 1, 1),
    "spatial_strides": (1, 2, 2, 2),
    "temporal_strides": (1, 2, 2, 2),
    "zero_init_residual": False,
}
MVIT_HEAD = {"type": "MViTHead", "in_channels": 768, "num_classes": NUM_CLASSES}
TIMESFORMER = {"type": "TimeSformer", "pretrained": None, "num_frames": 8, "img_size": 224, "patch_size": 16}
# Name of what it converts to: model config, frames of the clip.
FRAMEWISE = {"pretrained": None, "depth": 50, "num_segments": 8}
MODELS_2D = {
    "tanet_r50": ({"backbone": {"type": "TANet", **FRAMEWISE, "tam_cfg": {}}, "cls_head": tsm_head()}, 8),
    "tsm_r50": ({"backbone": {"type": "ResNetTSM", **FRAMEWISE, "norm_eval": False}, "cls_head": tsm_head()}, 8),
}
MODELS_3D = {
    "slowfast_r50_4x16": (slowfast(8), 32),
    "slowfast_r50_8x8": (slowfast(4), 32),
    "csn_ir_152": (csn("ir"), 16),
    "csn_ip_152": (csn("ip"), 16),
    "uniformer_small": (uniformer([3, 4, 8, 3]), 16),
    "uniformer_base": (uniformer([5, 8, 20, 7]), 16),
    "video_swin_tiny": ({"backbone": SWIN_T, "cls_head": i3d_head(768)}, 16),
    "r2plus1d_34_pooled_8x8": ({"backbone": R2PLUS1D, "cls_head": i3d_head(512)}, 8),
    "mvit_v2_small": ({"backbone": {"type": "MViT", "arch": "small"}, "cls_head": MVIT_HEAD}, 16),
    "mvit_v2_base": ({"backbone": {"type": "MViT", "arch": "base", "temporal_size": 32}, "cls_head": MVIT_HEAD}, 8),
    "resnet3d_50_8x8": ({"backbone": SLOW_ONLY, "cls_head": i3d_head(2048)}, 8),
    "timesformer_base": (
        {"backbone": TIMESFORMER, "cls_head": {"type": "TimeSformerHead", "num_classes": NUM_CLASSES, "in_channels": 768}},
        8,
    ),
}
SIZES = {"timesformer_base": 224}  # of clips, of networks that take no other


def seeded_models(only: Sequence[str] = ()) -> Iterator[tuple[str, torch.nn.Module, int]]:
    """mmaction2's recognizers by the name of what they convert to, filled with weights that follow from their names; or some."""
    register_all_modules()
    for target, (config, frames) in (MODELS_2D | MODELS_3D).items():
        if only and target not in only:
            continue
        kind = "Recognizer2D" if target in MODELS_2D else "Recognizer3D"
        model = MODELS.build({"type": kind, **config}).eval()
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.endswith(COMPUTED)}
        filled = {name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes.items()}
        model.load_state_dict(filled, strict=False)
        yield target, model, frames


@torch.no_grad()
def write_fixture(target: str, model: torch.nn.Module, frames: int) -> None:
    size = SIZES.get(target, SIZE)
    clip = torch.from_numpy(seeded_clip(frames, size))[None]
    features = model.backbone(clip[0].transpose(0, 1) if target in MODELS_2D else clip)
    logits = model.cls_head(features, 8) if target in MODELS_2D else model.cls_head(features)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if not name.endswith(COMPUTED)}
    path = ROOT / "tests" / "data" / f"mmaction_{target}.npz"
    np.savez_compressed(path, logits=logits.numpy(), frames=frames, size=size, shapes=json.dumps(shapes))
    print(f"{target}: logits {float(logits.min()):.3f} to {float(logits.max()):.3f}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    for item in seeded_models(sys.argv[1:]):
        write_fixture(*item)

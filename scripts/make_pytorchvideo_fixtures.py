#!/usr/bin/env python3
"""Outputs of PyTorchVideo's recognizers for seeded weights and one seeded clip, which the parity tests compare with.

    .venv/bin/python -m pip install --target SCRATCH --no-deps pytorchvideo==0.1.5 \\
        fvcore iopath parameterized yacs portalocker termcolor tabulate tqdm
    PYTHONPATH=SCRATCH .venv/bin/python scripts/make_pytorchvideo_fixtures.py [NAME …]

Writes tests/data/pytorchvideo_NAME.npz: names and shapes of PyTorchVideo's tensors, and the logits. The weights themselves
follow from their names (tests/seeded.py).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pytorchvideo.models.hub.csn import csn_r101
from pytorchvideo.models.hub.resnet import slow_r50
from pytorchvideo.models.hub.slowfast import slowfast_r50, slowfast_r101
from pytorchvideo.models.hub.vision_transformers import mvit_base_16x4
from pytorchvideo.models.slowfast import create_slowfast

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from seeded import seeded_clip, seeded_tensor

NUM_CLASSES, SIZE, FRAMES = 20, 64, 32
POOLED = {"head_pool_kernel_sizes": ((8, 2, 2), (32, 2, 2))}  # the whole of a map of 64 px
# The hub has no builder of the 4x16 one, whose weights are published; this is how those fit.
SLOWFAST_4X16 = partial(
    create_slowfast,
    slowfast_fusion_conv_kernel_size=(5, 1, 1),
    slowfast_fusion_conv_stride=(8, 1, 1),
    head_pool_kernel_sizes=((4, 2, 2), (32, 2, 2)),
)
WHOLE = torch.nn.AdaptiveAvgPool3d
# Name of what it converts to: builder, and every how many frames the slow pathway has one; 1 where there is none.
MODELS: dict[str, tuple[Callable[..., torch.nn.Module], int]] = {
    "slowfast_r50_4x16": (SLOWFAST_4X16, 8),
    "slowfast_r50_8x8": (partial(slowfast_r50, **POOLED), 4),
    "slowfast_r101_8x8": (partial(slowfast_r101, **POOLED), 4),
    "csn_ir_101": (partial(csn_r101, head_pool=WHOLE), 1),
    "resnet3d_50_8x8": (partial(slow_r50, head_pool=WHOLE), 1),
    "mvit_v1_base": (mvit_base_16x4, 1),
}
# Frames and size of clips of networks that take no other.
FIXED = {"mvit_v1_base": (16, 224)}


@torch.no_grad()
def write_fixture(target: str, build: Callable[..., torch.nn.Module], alpha: int) -> None:
    model = build(**{"head_num_classes" if target in FIXED else "model_num_class": NUM_CLASSES}).eval()
    frames, size = FIXED.get(target, (FRAMES, SIZE))
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes.items()})
    clip = torch.from_numpy(seeded_clip(frames, size))[None]
    # As its own transform packs the pathways.
    slow = clip[:, :, torch.linspace(0, frames - 1, frames // alpha).long()]
    logits = model(clip if alpha == 1 else [slow, clip])
    path = ROOT / "tests" / "data" / f"pytorchvideo_{target}.npz"
    np.savez_compressed(path, logits=logits.numpy(), frames=frames, size=size, shapes=json.dumps(shapes))
    print(f"{target}: logits {float(logits.min()):.3f} to {float(logits.max()):.3f}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    for target in sys.argv[1:] or MODELS:
        write_fixture(target, *MODELS[target])

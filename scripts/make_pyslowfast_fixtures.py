#!/usr/bin/env python3
"""Outputs of PySlowFast's recognizers for seeded weights and one seeded clip, which the parity tests compare with.

    .venv/bin/python -m pip install --target SCRATCH --no-deps pyslowfast==1.0 \\
        fvcore iopath yacs portalocker termcolor tabulate tqdm simplejson psutil
    PYTHONPATH=SCRATCH .venv/bin/python scripts/make_pyslowfast_fixtures.py

Writes tests/data/pyslowfast_NAME.npz: names and shapes of PySlowFast's tensors, and the logits. The weights themselves follow
from their names (tests/seeded.py). The package, of 2020, has no MViT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]
for name in ("detectron2", "detectron2.layers"):  # of which PySlowFast wants one layer, for detection
    sys.modules[name] = ModuleType(name)
sys.modules["detectron2.layers"].ROIAlign = object  # type: ignore[attr-defined]

from seeded import seeded_clip, seeded_tensor
from slowfast.config.defaults import get_cfg
from slowfast.datasets.utils import pack_pathway_output
from slowfast.models.video_model_builder import ResNetModel, SlowFastModel

NUM_CLASSES, SIZE = 20, 64
TWO = {
    "RESNET.NUM_BLOCK_TEMP_KERNEL": [[3, 3], [4, 4], [6, 6], [3, 3]],
    "RESNET.SPATIAL_STRIDES": [[1, 1], [2, 2], [2, 2], [2, 2]],
    "RESNET.SPATIAL_DILATIONS": [[1, 1], [1, 1], [1, 1], [1, 1]],
    "NONLOCAL.LOCATION": [[[], []], [[], []], [[], []], [[], []]],
    "NONLOCAL.GROUP": [[1, 1], [1, 1], [1, 1], [1, 1]],
    "DATA.INPUT_CHANNEL_NUM": [3, 3],
    "DATA.NUM_FRAMES": 32,
    "MODEL.ARCH": "slowfast",
}
ONE = {"DATA.INPUT_CHANNEL_NUM": [3], "DATA.NUM_FRAMES": 8, "MODEL.ARCH": "slowonly"}
# Name of what it converts to: what its published config says other than PySlowFast's defaults.
MODELS: dict[str, dict[str, Any]] = {
    "slowfast_r50_4x16": TWO | {"SLOWFAST.ALPHA": 8, "SLOWFAST.FUSION_KERNEL_SZ": 5},
    "slowfast_r50_8x8": TWO | {"SLOWFAST.ALPHA": 4, "SLOWFAST.FUSION_KERNEL_SZ": 7},
    "resnet3d_50_8x8": ONE,
}


@torch.no_grad()
def write_fixture(target: str, settings: dict[str, Any]) -> None:
    config = get_cfg()
    config.merge_from_list([item for pair in settings.items() for item in pair])
    config.merge_from_list(["DATA.CROP_SIZE", SIZE, "MODEL.NUM_CLASSES", NUM_CLASSES])
    model = (SlowFastModel if config.MODEL.ARCH == "slowfast" else ResNetModel)(config).eval()
    model.head.act = torch.nn.Identity()  # logits, not probabilities
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes.items()})
    clip = torch.from_numpy(seeded_clip(config.DATA.NUM_FRAMES, SIZE))
    logits = model([pathway[None] for pathway in pack_pathway_output(config, clip)])
    path = ROOT / "tests" / "data" / f"pyslowfast_{target}.npz"
    np.savez_compressed(path, logits=logits.numpy(), frames=config.DATA.NUM_FRAMES, shapes=json.dumps(shapes))
    print(f"{target}: logits {float(logits.min()):.3f} to {float(logits.max()):.3f}, {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    for target, settings in MODELS.items():
        write_fixture(target, settings)

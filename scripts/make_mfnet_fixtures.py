#!/usr/bin/env python3
"""Logits of the authors' MF-Net for seeded weights and one seeded clip, which the parity test compares with.

    PYTHONPATH=CHECKOUT/network .venv/bin/python scripts/make_mfnet_fixtures.py

CHECKOUT is one of the authors' PyTorch-MFNet, whose package is on no index. Writes tests/data/mfnet_mfnet.npz: names and
shapes of its tensors, and the logits. The weights themselves follow from their names (tests/seeded.py).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from mfnet_3d import MFNET_3D

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests")]
from seeded import seeded_clip, seeded_tensor

NUM_CLASSES, SIZE, FRAMES = 20, 64, 16


@torch.no_grad()
def main() -> None:
    model = MFNET_3D(num_classes=NUM_CLASSES).eval()
    model.globalpool = torch.nn.AdaptiveAvgPool3d(1)  # it wants clips of 224 px, which take long; the mean of all is the same
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(np.asarray(seeded_tensor(name, shape))) for name, shape in shapes.items()})
    logits = model(torch.from_numpy(seeded_clip(FRAMES, SIZE))[None])
    path = ROOT / "tests" / "data" / "mfnet_mfnet.npz"
    np.savez_compressed(path, logits=logits.numpy(), frames=FRAMES, size=SIZE, shapes=json.dumps(shapes))
    print(f"logits {float(logits.min()):.3f} to {float(logits.max()):.3f}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

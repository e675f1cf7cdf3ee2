#!/usr/bin/env python3
"""Forward time of each detector against mmdet's own, side by side in one run on one machine.

    .venv-openmmlab/bin/python benchmarks/forward.py [--size 480 640] [--repeats 5]

Both get the same seeded weights and the same image, and run as they would in use: ours in channels_last, mmdet as it
comes, in float32; a second column shows ours in bfloat16 (`precision: bfloat16`). Runs alternate, and a ratio is that
of the medians.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]
warnings.filterwarnings("ignore")

from parsing.networks.openmmlab import stand_in_for_imgaug

stand_in_for_imgaug()

from make_mmdet_fixtures import seeded_models
from mmdet.structures import DetDataSample
from seeded import seeded_image

from detectors.inputs import find_candidates
from detectors.networks.conversion import convert
from detectors.suppression import Suppression, select_boxes

THRESHOLDS = np.full(80, 0.05, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward time against mmdet.")
    parser.add_argument("--size", type=int, nargs=2, default=(480, 640), metavar=("H", "W"))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    hw = tuple(arguments.size)
    image = torch.from_numpy(seeded_image(*hw)).permute(2, 0, 1)
    print(f"{hw[0]} x {hw[1]} px, batch 1, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'network':<22} {'mmdet':>9} {'ours':>9} {'ratio':>7} {'bfloat16':>9} {'ratio':>7}")
    for target, model in seeded_models():
        runs = {"mmdet": theirs_of(model, image, hw)}
        runs |= {precision: ours_of(target, model, image, hw, precision) for precision in ("float32", "bfloat16")}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(arguments.repeats + 1):  # the first turn warms up
            for name, run in runs.items():
                started = time.perf_counter()
                run()
                if turn:
                    times[name].append(time.perf_counter() - started)
        base, plain, short = (median(times[name]) for name in ("mmdet", "float32", "bfloat16"))
        print(f"{target:<22} {base:>7.3f} s {plain:>7.3f} s {plain / base:>7.2f} {short:>7.3f} s {short / base:>7.2f}", flush=True)


@torch.no_grad()
def ours_of(target: str, model: torch.nn.Module, image: torch.Tensor, hw: tuple[int, int], precision: Any) -> Callable[[], Any]:
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(("relative_position_index", "project"))}
    _, network = convert(tensors, target, [str(i) for i in range(80)], Path(target))
    network = network.to(memory_format=torch.channels_last)
    batch = (image[None].float() / 255).contiguous(memory_format=torch.channels_last)
    settings = Suppression("nms", 0.6 if target.startswith("gfl") else 0.5)
    return lambda: select_boxes(find_candidates(network, batch, [hw], precision), THRESHOLDS, settings, 100, hw)


def theirs_of(model: torch.nn.Module, image: torch.Tensor, hw: tuple[int, int]) -> Callable[[], Any]:
    meta = {"img_shape": hw, "ori_shape": hw, "pad_shape": hw, "scale_factor": (1.0, 1.0), "batch_input_shape": hw}
    data = model.data_preprocessor({"inputs": [image.flip(0)], "data_samples": [DetDataSample(metainfo=meta)]}, False)

    def run() -> Any:
        with torch.no_grad():
            return model.predict(data["inputs"], data["data_samples"])

    return run


if __name__ == "__main__":
    main()

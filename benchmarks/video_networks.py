#!/usr/bin/env python3
"""Each video network against mmaction2's own, side by side in one run: parameters, MACs, difference, forward time.

    .venv-openmmlab/bin/python benchmarks/video_networks.py [--size 224] [--repeats 3] [--only tsm_r50 …]

Both get the same seeded weights and the same clip, in eager float32; ours as a pipeline runs it, its batch norms folded.
Runs alternate, and a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "scripts")]
warnings.filterwarnings("ignore")

from make_mmaction_fixtures import MODELS_2D, NUM_CLASSES, seeded_models
from seeded import seeded_clip

from recognizers.clips.inputs import Normalise
from recognizers.networks.conversion import convert
from recognizers.networks.folding import fold_norms


def main() -> None:
    parser = argparse.ArgumentParser(description="Video networks against mmaction2's.")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NETWORK", default=())
    arguments = parser.parse_args()
    print(f"{arguments.size} px, batch 1, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'network':<20} {'parameters':>11} {'GMACs':>7} {'difference':>11} {'mmaction2':>10} {'ours':>9} {'ratio':>6}")
    for target, model, frames in seeded_models(arguments.only):
        clip = torch.from_numpy(seeded_clip(frames, arguments.size))[None]
        network = convert(model.state_dict(), "mmaction2", target, [str(i) for i in range(NUM_CLASSES)], Path(target))
        parameters = sum(p.numel() for p in network.parameters()) / 1e6
        fold_norms(network)  # as in a pipeline
        own = getattr(network, "normalise", None) or Normalise()
        ours, theirs = ours_of(network, clip.transpose(1, 2) * own.std + own.mean), theirs_of(model, clip, target)
        times: dict[str, list[float]] = {"theirs": [], "ours": []}
        for turn in range(arguments.repeats + 1):  # the first turn warms up
            for name, run in (("theirs", theirs), ("ours", ours)):
                started = time.perf_counter()
                run()
                if turn:
                    times[name].append(time.perf_counter() - started)
        expected = theirs()
        off = float((ours() - expected).abs().max() / expected.std())
        with FlopCounterMode(display=False) as counter:
            ours()
        base, mine = median(times["theirs"]), median(times["ours"])
        cells = (
            f"{parameters:>9.2f} M {counter.get_total_flops() / 2e9:>7.1f} {off:>11.1e} {base:>8.2f} s {mine:>7.2f} s {mine / base:>6.2f}"
        )
        print(f"{target:<20} {cells}", flush=True)


def ours_of(network: torch.nn.Module, clips: Tensor) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def run() -> Tensor:
        found: Tensor = network(clips)
        return found

    return run


def theirs_of(model: torch.nn.Module, clip: Tensor, target: str) -> Callable[[], Tensor]:
    @torch.inference_mode()
    def run() -> Tensor:
        features = model.backbone(clip[0].transpose(0, 1) if target in MODELS_2D else clip)
        found: Tensor = model.cls_head(features, 8) if target in MODELS_2D else model.cls_head(features)
        return found

    return run


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Networks of the reports as a pipeline runs them on a CPU against the reference implementation: `python benchmarks/reference_networks.py`.

The reference is torchvision's or timm's own network in eager PyTorch, float32; ours are graphs of OpenVINO in bfloat16. All have
random weights. Calls alternate, and a ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import timm
import torch
from torch import nn
from torchvision.models import detection, video

from detectors.inputs import find_candidates
from detectors.networks import build_network
from detectors.networks.architectures import FasterRCNNArchitecture, RetinaNetArchitecture
from parsing.networks.backbones import Backbone
from parsing.networks.openvino_graphs import has_bfloat16
from parsing.networks.pieces import Piece, noise, run_on
from recognizers.networks.folding import fold_norms
from recognizers.networks.reference import VideoSwinArchitecture
from recognizers.networks.video_resnet import R2Plus1DArchitecture
from recognizers.video import clip_pieces

HW = 480, 640
CLASSES = tuple(f"class {i}" for i in range(90))
ACTIONS = CLASSES[:60]
TURNS = 5
Run = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Networks of the reports against torchvision and timm.")
    parser.add_argument("--turns", type=int, default=TURNS)
    arguments = parser.parse_args()
    for name, ratio in ratios(arguments.turns).items():
        print(f"{name:<40} {ratio:.2f}", flush=True)


def ratios(turns: int = TURNS) -> dict[str, float]:
    """Seconds of ours over those of the reference, of each network; empty where the processor has no bfloat16."""
    return {name: compared(theirs, ours, turns) for name, theirs, ours in pairs()} if has_bfloat16() else {}


@torch.inference_mode()
def compared(theirs: Run, ours: Run, turns: int) -> float:
    times: dict[Run, list[float]] = {theirs: [], ours: []}
    for turn in range(turns + 1):  # the first warms up
        for run in times:
            started = time.perf_counter()
            run()
            if turn:
                times[run].append(time.perf_counter() - started)
    return median(times[ours]) / median(times[theirs])


def pairs() -> Iterator[tuple[str, Run, Run]]:
    """The name of each network, a call of the reference, and one of ours."""
    torch.manual_seed(0)
    sides = {"min_size": HW[0], "max_size": HW[1], "weights": None, "weights_backbone": None}
    image = torch.rand(3, *HW)
    faster = detection.fasterrcnn_resnet50_fpn(**sides).eval()
    yield "Faster R-CNN, ResNet-50", partial(faster, [image]), detector("faster_rcnn", FasterRCNNArchitecture(CLASSES), image)
    retina = detection.retinanet_resnet50_fpn(**sides).eval()
    yield "RetinaNet, ResNet-50", partial(retina, [image]), detector("retinanet", RetinaNetArchitecture(CLASSES), image)
    swin = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, features_only=True, img_size=HW).eval()
    ours = Backbone("swin_tiny_patch4_window7_224", (0, 1, 2, 3)).eval()
    runs_on(ours, Piece("forward", noise((1, 3, *HW), (2, 3, *HW)), one_by_one=True))
    yield "Swin-T backbone", partial(swin, image[None]), partial(ours, image[None])
    clips = {"Video Swin-T": (video.swin3d_t, VideoSwinArchitecture(size="tiny", frames=16))}
    clips |= {"R(2+1)D-18": (video.r2plus1d_18, R2Plus1DArchitecture(depth=18, frames=16))}
    for name, (build, architecture) in clips.items():
        clip = torch.rand(1, architecture.frames, 3, architecture.input_px, architecture.input_px)
        network = architecture.build(ACTIONS).eval()
        fold_norms(network)  # as in a pipeline
        runs_on(network, *clip_pieces(architecture))
        reference = build(weights=None, num_classes=len(ACTIONS)).eval()
        yield f"{name}, {architecture.frames} frames", partial(reference, clip.transpose(1, 2)), partial(network, clip)


def detector(name: str, architecture: Any, image: torch.Tensor) -> Run:
    network: Any = build_network(name, architecture).eval()
    runs_on(network, *network.pieces())
    pixels = image[None].mul(255).byte()  # as pictures are decoded
    return partial(find_candidates, network, pixels, [HW], "bfloat16")


def runs_on(network: nn.Module, *pieces: Piece) -> None:
    if run_on(network, pieces, "openvino", "cpu", "bfloat16") != "openvino":
        raise SystemExit(f"{type(network).__name__}: does not run on OpenVINO")


if __name__ == "__main__":
    main()

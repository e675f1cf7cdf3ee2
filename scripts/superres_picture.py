#!/usr/bin/env python3
"""Super-resolution side by side: input (nearest), bicubic, the network, truth.

    python scripts/superres_picture.py VIDEO OUT.png --weights FILE [--network basicvsr] [--frame N] [--short-side 112] [--real]

The input is the video, shrunk to the short side, then shrunk further by the weights' scale; with --real it goes through the
degradation that the weights were trained with as well. With --as-is the video itself is the input, and there is no truth.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from parsing.configs import parse_config
from parsing.media.sources import open_source
from parsing.networks.weights import read_header
from parsing.types import Array
from recognizers.clips.store import shrink
from recognizers.superres.data import SuperResolutionDataConfig, validation_pairs
from recognizers.superres.images import bicubic
from recognizers.superres.networks import NETWORKS, load_network
from recognizers.superres.video import run_network

AROUND = 7  # frames to either side that the network sees
SHOWN_PX = 480  # height of the picture
TITLE_PX, GAP_PX = 28, 6


def main() -> None:
    parser = argparse.ArgumentParser(description="Super-resolution side by side.")
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", required=True, metavar="FILE")
    parser.add_argument("--network", choices=NETWORKS, default="basicvsr")
    parser.add_argument("--frame", type=int, help="default: the middle")
    parser.add_argument("--short-side", type=int, default=112, metavar="PX", help="of the truth (default: 112)")
    parser.add_argument("--real", action="store_true", help="degrade the input as in training")
    parser.add_argument("--as-is", action="store_true", help="enlarge the video itself")
    arguments = parser.parse_args()
    network, architecture = load_network(arguments.network, arguments.weights, "cpu")
    frames, middle = read_around(arguments.video, arguments.frame, None if arguments.as_is else arguments.short_side)
    columns: dict[str, Array] = {}
    small = frames
    if not arguments.as_is:
        settings = read_header(arguments.weights, arguments.network).training.get("data", {"root": ""})
        pair = validation_pairs([frames], architecture.scale, parse_config(SuperResolutionDataConfig, settings, arguments.weights))[0]
        small = pair["real" if arguments.real else "clean"]
        columns["truth"] = pair["truth"][middle]
    size = (small.shape[2] * architecture.scale, small.shape[1] * architecture.scale)
    columns = {
        "input": cv2.resize(small[middle], size, interpolation=cv2.INTER_NEAREST),
        "bicubic": bicubic(small[middle : middle + 1], architecture.scale)[0],
        arguments.network: run_network(network, small, "cpu")[middle],
        **columns,
    }
    if not cv2.imwrite(str(arguments.out), picture(columns)[..., ::-1]):
        sys.exit(f"{arguments.out}: cannot be written")


def read_around(video: Path, frame: int | None, short_side_px: int | None) -> tuple[Array, int]:
    """Frames around one, and which of them it is."""
    source = open_source(video)
    num_frames = source.num_frames
    wanted = num_frames // 2 if frame is None else min(frame, num_frames - 1)
    indices = range(max(0, wanted - AROUND), min(num_frames, wanted + AROUND + 1))
    found = source.at(indices)
    images = [found[i].image for i in indices]
    frames = np.stack(images)
    return shrink(frames, short_side_px) if short_side_px else frames, wanted - indices[0]


def picture(columns: dict[str, Array]) -> Array:
    """Pictures of one size beside each other under their titles, pixels enlarged without smoothing."""
    factor = max(1, round(SHOWN_PX / next(iter(columns.values())).shape[0]))
    parts = []
    for title, image in columns.items():
        large = image.repeat(factor, 0).repeat(factor, 1)
        framed = cv2.copyMakeBorder(large, TITLE_PX, 0, 0, GAP_PX, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        parts.append(cv2.putText(framed, title, (4, TITLE_PX - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA))
    return np.hstack(parts)


if __name__ == "__main__":
    main()

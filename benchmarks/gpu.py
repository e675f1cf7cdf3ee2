#!/usr/bin/env python3
"""The default pipeline on a GPU: frame by frame, in batches, and in batches in bfloat16, and how far their parses differ.

    python benchmarks/gpu.py CLIP [--batch 16] [--every 1] [--device cuda]

The first line is on the crops of one batch for the part detector: by OpenCV one by one and then uploaded, or from frames that are
uploaded whole, as `parsing.networks.device_images` makes them on a GPU; a crop's milliseconds, and how far both differ in grey levels.

One warm-up each, then turns one after the other; the times are medians, and ratios are to frame by frame. `shared` is the share of
persons whose box lies within IoU 0.9 of one found frame by frame, and `states` how many states of their visible parts stay on
their side of one half.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from parsing.geometry import Crop, box_ious
from parsing.media.sources import open_source
from parsing.networks import device_images
from parsing.types import FrameParse
from pipelines import VideoParser

STAGES = ("person_detector", "part_detector", "part_states")
TURNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description="The default pipeline on a GPU.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--device", default="cuda")
    arguments = parser.parse_args()
    short = [f"{stage}.precision=bfloat16" for stage in STAGES]
    variants = {"frame by frame": ["batch=1"], "batches": [f"batch={arguments.batch}"], "bfloat16": [f"batch={arguments.batch}", *short]}
    parsers = {
        name: VideoParser.from_config("default", [f"every={arguments.every}", *more], arguments.device) for name, more in variants.items()
    }
    times: dict[str, list[float]] = {name: [] for name in parsers}
    parses: dict[str, list[FrameParse]] = {}
    for turn in range(TURNS + 1):
        for name, one in parsers.items():
            started = time.perf_counter()
            parses[name] = [parse for parse in one.stream(arguments.clip) if parse.key]
            if turn:
                times[name].append(time.perf_counter() - started)
    with open_source(arguments.clip) as source:
        length_s, base = source.facts.duration_s, median(times["frame by frame"])
    device = torch.cuda.get_device_name() if arguments.device == "cuda" else "CPU"
    print(f"{device}, torch {torch.__version__}, {len(parses['batches'])} key frames")
    architecture = parsers["batches"].part_detector.network.architecture  # type: ignore[attr-defined]
    some = parses["batches"][: arguments.batch]
    print(json.dumps(crop_figures(arguments.clip, some, architecture.input_px, architecture.context, arguments.device)))
    for name in parsers:
        taken, found = median(times[name]), agreement(parses["frame by frame"], parses[name])
        rates = {"key frames a second": round(len(parses[name]) / taken, 1), "times real time": round(length_s / taken, 2)}
        print(json.dumps({"variant": name} | rates | {"times faster": round(base / taken, 2)} | found))


def crop_figures(clip: Path, parses: list[FrameParse], size: int, context: float, device: str) -> dict[str, Any]:
    """Milliseconds a crop of both ways of making the crops of some frames, and the differences of these."""
    with open_source(clip) as source:
        frames = source.at([parse.index for parse in parses])
    pairs = [(frames[parse.index].image, Crop.around(box, size, context)) for parse in parses for box in parse.persons.xyxy]
    if not pairs:
        return {"crops": 0}

    def made(there: bool) -> torch.Tensor:
        with patch.object(device_images, "made_on", lambda _: there):
            return torch.stack(device_images.crop_images(*zip(*pairs, strict=True), device))  # type: ignore[arg-type]

    host, there = (time_ms(lambda there=there: made(there), device) / len(pairs) for there in (False, True))  # type: ignore[misc]
    off = (made(False).int() - made(True).int()).abs()
    levels = {"mean": round(float(off.float().mean()), 3), "largest": int(off.max())}
    return {"crops": len(pairs), "OpenCV ms": round(host, 3), "device ms": round(there, 3), "times faster": round(host / there, 2)} | levels


def time_ms(run: Callable[[], Any], device: str) -> float:
    """The median of turns after a warm-up, until the device has done it."""
    times = []
    for _ in range(1 + 5 * TURNS):
        started = time.perf_counter()
        run()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - started) * 1e3)
    return median(times[1:])


def agreement(expected: list[FrameParse], found: list[FrameParse]) -> dict[str, Any]:
    """How much two parses of the same key frames share."""
    persons, shared, states, same = 0, 0, 0, 0
    for one, other in zip(expected, found, strict=True):
        overlaps = box_ious(one.persons.xyxy, other.persons.xyxy)
        persons += len(overlaps)
        if not overlaps.size:
            continue
        best = overlaps.argmax(1)
        rows = np.flatnonzero(overlaps.max(1) >= 0.9)
        shared += len(rows)
        both = one.parts.visible[rows] & other.parts.visible[best[rows]]
        sides = (one.states.scores[rows] >= 0.5) == (other.states.scores[best[rows]] >= 0.5)
        states, same = states + int(both.sum()) * sides.shape[-1], same + int(sides[both].sum())
    return {"shared": round(shared / max(1, persons), 4), "states": round(same / max(1, states), 4)}


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What key frames by motion save and cost: `python benchmarks/key_frames.py CLIP... [--set every=auto every=3]`.

Each clip is parsed with every frame a key frame, which is what the others are held against: average precision of the boxes of
persons and parts in all frames, and which share of the frames are key frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from parsing.measures.boxes import BoxTruth, box_metrics
from parsing.types import Array, FrameParse
from pipelines import VideoParser

ONE = "every=1"


def main() -> None:
    parser = argparse.ArgumentParser(description="What key frames by motion save and cost.")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--set", nargs="+", default=["every=3", "every=auto"], metavar="every=…")
    arguments = parser.parse_args()
    print(f"{'clip':<28} {'frames':<24} {'key frames':>10} {'AP persons':>11} {'AP50':>7} {'AP parts':>9} {'AP50':>7}")
    parsers = {name: VideoParser.from_config("default", [name]) for name in (ONE, *arguments.set)}
    for clip in arguments.clips:
        truth = list(parsers[ONE].stream(clip))
        for name in arguments.set:
            found = list(parsers[name].stream(clip))
            share = sum(parse.key for parse in found) / len(found)
            persons, parts = average_precision(truth, found, False), average_precision(truth, found, True)
            figures = f"{persons[0]:>11.3f} {persons[1]:>7.3f} {parts[0]:>9.3f} {parts[1]:>7.3f}"
            print(f"{clip.name:<28} {name:<24} {share:>10.1%} {figures}", flush=True)


def average_precision(truth: Sequence[FrameParse], found: Sequence[FrameParse], parts: bool) -> tuple[float, float]:
    """AP and AP50 of the boxes of persons, or of their visible parts."""
    truths = [BoxTruth(boxes, ids, np.zeros(len(ids), bool)) for boxes, _, ids in (boxes_of(parse, parts) for parse in truth)]
    names = [str(i) for i in range(truth[0].parts.xyxy.shape[1] if parts else 1)]
    figures = box_metrics(truths, [boxes_of(parse, parts) for parse in found], names)
    return figures["AP"] or 0.0, figures["AP50"] or 0.0


def boxes_of(parse: FrameParse, parts: bool) -> tuple[Array, Array, Array]:
    """Boxes, scores and class ids."""
    if not parts:
        return parse.persons.xyxy, parse.persons.scores, np.zeros(len(parse.persons), np.int64)
    shown = parse.parts.visible
    return parse.parts.xyxy[shown], parse.parts.scores[shown], np.nonzero(shown)[1]


if __name__ == "__main__":
    main()

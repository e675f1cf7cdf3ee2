#!/usr/bin/env python3
"""What it would save and cost to keep parts and states of persons who hold still: `python benchmarks/still_persons.py CLIP...`.

Each clip is parsed in full. Then, for each limit, a person of a key frame whose small grey crop differs from the one in which its
parts were found last by less than the limit (mean over the crop, of 255) keeps those parts, moved with its box, and their states. Printed
are which share of the persons keeps them, how well the parts that are kept overlap those of the full run, the share of parts
that are shown in one and not in the other, and the share of states that fall on the other side of one half.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from parsing.geometry import Crop, box_ious
from parsing.types import Array, FrameParse
from pipelines import VideoParser

LIMITS = (1.0, 2.0, 4.0, 8.0)
SEEN_PX, SAME_IOU, HOLDS = 32, 0.5, 0.5


@dataclass(frozen=True)
class Person:
    """A person of a key frame: box (4,) px, grey crop, boxes (P, 4) px and visibility (P,) of its parts, and states (P, S)."""

    xyxy: Array
    seen: Array
    parts: Array
    visible: Array
    states: Array

    def moved_to(self, xyxy: Array) -> Array:
        """Its parts, if its box were this one."""
        scale = (xyxy[2:] - xyxy[:2]) / np.maximum(self.xyxy[2:] - self.xyxy[:2], 1e-6)
        return np.asarray((self.parts - np.tile(self.xyxy[:2], 2)) * np.tile(scale, 2) + np.tile(xyxy[:2], 2))


def main() -> None:
    parser = argparse.ArgumentParser(description="What keeping parts of persons who hold still would save and cost.")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--limits", type=float, nargs="+", default=LIMITS)
    arguments = parser.parse_args()
    pipeline = VideoParser.from_config("default")
    print(f"{'clip':<28} {'limit':>6} {'kept':>7} {'part IoU':>9} {'shown differ':>13} {'states differ':>14}")
    for clip in arguments.clips:
        frames = list(key_frames(pipeline, clip))
        for limit in arguments.limits:
            print(f"{clip.name:<28} {limit:>6g} {figures(frames, limit)}", flush=True)


def key_frames(pipeline: VideoParser, clip: Path) -> Iterator[list[Person]]:
    """The persons of each key frame, best first."""
    for frame, parse in pipeline.stream(clip).with_frames():
        if parse.key:
            grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
            yield [person(grey, parse, row) for row in range(len(parse.persons))]


def person(grey: Array, parse: FrameParse, row: int) -> Person:
    box = parse.persons.xyxy[row]
    seen = cv2.blur(Crop.around(box, SEEN_PX, 1.0).pixels(grey[..., None].repeat(3, 2))[..., 0], (3, 3))
    return Person(box, np.asarray(seen), parse.parts.xyxy[row], parse.parts.visible[row], parse.states.scores[row])


def figures(frames: list[list[Person]], limit: float) -> str:
    """One row of the table."""
    found_last: list[Person] = []  # with the parts that a network found, of the persons of the last key frame
    kept, persons, ious, shown, states = 0, 0, list[Array](), list[Array](), list[Array]()
    for frame in frames:
        now = []
        for one in frame:
            last = same(one, found_last)
            persons += 1
            if last is None or float(cv2.absdiff(one.seen, last.seen).mean()) >= limit:
                now.append(one)
                continue
            kept += 1
            now.append(last)
            both = one.visible & last.visible
            ious.append(np.diag(box_ious(last.moved_to(one.xyxy)[both], one.parts[both])))
            shown.append(one.visible != last.visible)
            states.append((one.states[both] >= HOLDS) != (last.states[both] >= HOLDS))
        found_last = now
    if not kept:
        return f"{0:>7.1%}"
    overlap, differ, flipped = (float(np.concatenate([part.ravel() for part in parts]).mean()) for parts in (ious, shown, states))
    return f"{kept / persons:>7.1%} {overlap:>9.3f} {differ:>13.2%} {flipped:>14.2%}"


def same(one: Person, others: list[Person]) -> Person | None:
    """The one of the last key frame that it is."""
    if not others:
        return None
    overlaps = box_ious(one.xyxy[None], np.stack([other.xyxy for other in others]))[0]
    return others[int(overlaps.argmax())] if overlaps.max() >= SAME_IOU else None


if __name__ == "__main__":
    main()

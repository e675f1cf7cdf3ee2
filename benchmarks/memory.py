#!/usr/bin/env python3
"""Peak memory of a long video against that of a short one: `python benchmarks/memory.py CLIP`.

The clip is looped to 1 and to 10 minutes of 480p at 10 frames a second, and each is parsed in a process of its own.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from parsing.media.encoding import VideoWriter
from parsing.media.sources import open_source
from parsing.types import Array

FPS, HEIGHT_PX, MINUTES = 10, 480, (1, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory of a 10-minute video against a 1-minute one.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="passed on to pipelines.run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak_mib(loop(arguments.clip, Path(folder) / f"{n}min.mp4", n), arguments.arguments) for n in MINUTES]
    for minutes, peak in zip(MINUTES, peaks, strict=True):
        print(f"{minutes:>3} min  {peak:.0f} MiB")
    print(f"ratio    {peaks[1] / peaks[0]:.3f}")


def loop(clip: Path, out: Path, minutes: int) -> Path:
    """The clip's frames over and over, at the benchmark's size and rate."""
    frames = itertools.islice(endless(clip), minutes * 60 * FPS)
    first = next(frames)
    with VideoWriter(out, (first.shape[0], first.shape[1]), FPS) as writer:
        for i, image in enumerate(itertools.chain([first], frames)):
            writer.add(image, i / FPS)
    return out


def endless(clip: Path) -> Iterator[Array]:
    while True:
        for frame in open_source(clip).frames():
            scale = HEIGHT_PX / frame.image.shape[0]
            yield cv2.resize(frame.image, (2 * round(frame.image.shape[1] * scale / 2), HEIGHT_PX), interpolation=cv2.INTER_AREA)


def peak_mib(video: Path, arguments: list[str]) -> float:
    command = [sys.executable, "-m", "pipelines.run", str(video), "--out", str(video.with_suffix(".json")), "--quiet", *arguments]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Speed of the default pipeline against real time, stage by stage: `python benchmarks/speed.py CLIP`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines import VideoParser


class Timed:
    """A stage whose calls are timed."""

    def __init__(self, stage: Callable[..., Any]) -> None:
        self.stage, self.seconds = stage, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stage, name)

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        result = self.stage(*arguments)
        self.seconds += time.perf_counter() - started
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of a pipeline against real time.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--config", default="default")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    video_parser = VideoParser.from_config(arguments.config, arguments.set)
    stages = {name: Timed(getattr(video_parser, name)) for name in ("person_detector", "part_detector", "part_states")}
    for name, stage in stages.items():
        setattr(video_parser, name, stage)
    started = time.perf_counter()
    parse = video_parser(arguments.clip)
    total = time.perf_counter() - started
    persons = sum(len(frame.persons) for frame in parse.frames if frame.key)
    print(f"{len(parse.frames)} frames, {sum(frame.key for frame in parse.frames)} key frames, {persons} persons in them")
    for name, stage in stages.items():
        print(f"{name:<16} {stage.seconds / total:6.1%}")
    print(f"real time        {parse.frames[-1].time_s / total:6.2f} x")


if __name__ == "__main__":
    main()

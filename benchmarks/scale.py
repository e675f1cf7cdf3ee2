#!/usr/bin/env python3
"""What many hours of video cost, from the times of one clip: `python benchmarks/scale.py CLIP`.

The clip is decoded without networks, and parsed by one process; the CPU time of both (of all threads) and the bytes of clip and parse,
each for a second of video, are scaled to `--hours`. Prices are arguments, as they differ.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from parsing.media.sources import open_source
from pipelines import VideoParser
from pipelines.parse.jobs import parse_to_files
from pipelines.parse.sources import Job

HOUR_S, DAY_S = 3600, 86_400


def main() -> None:
    parser = argparse.ArgumentParser(description="What many hours of video cost.")
    parser.add_argument("clip", type=Path)
    parser.add_argument("--hours", type=float, default=10_000)
    parser.add_argument("--days", type=float, default=7, help="within which they are to be parsed")
    parser.add_argument("--core-price", type=float, default=0.04, help="of a core and hour")
    parser.add_argument("--gpu-realtime", type=float, help="seconds of video a second of one GPU, from benchmarks/gpu.py")
    parser.add_argument("--gpu-price", type=float, default=2.5, help="of a GPU and hour")
    parser.add_argument("--config", default="default")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    cost = measure(arguments.clip, arguments.config, arguments.set)
    report(cost, arguments.hours, arguments.days, arguments.core_price)
    if arguments.gpu_realtime:
        report_gpu(cost, arguments)


def measure(clip: Path, config: str, assignments: list[str]) -> dict[str, float]:
    """CPU seconds and bytes for a second of video."""
    began = time.process_time()
    source = open_source(clip)
    for frame in source.frames():
        last_s = frame.time_s
    source.close()
    decoding = time.process_time() - began
    parser = VideoParser.from_config(config, assignments, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "p.json"
        parse_to_files(parser, Job(clip, Path(folder) / "warm.json", None), quiet=True)  # the first one compiles and fills caches
        began = time.process_time()
        parse_to_files(parser, Job(clip, out, None), quiet=True)
        parsing, size = time.process_time() - began, out.stat().st_size
        persons = [len(frame["persons"]) for frame in json.loads(out.read_text())["frames"]]
    print(f"clip: {last_s:.1f} s, {clip.stat().st_size / last_s / 125_000:.2f} Mbit/s, {sum(persons) / len(persons):.1f} persons a frame")
    return {"decoding": decoding / last_s, "parsing": parsing / last_s, "video": clip.stat().st_size / last_s, "document": size / last_s}


def report(cost: dict[str, float], hours: float, days: float, core_price: float) -> None:
    core_hours = cost["parsing"] * hours
    cores = core_hours / 24 / days
    print(f"CPU seconds for a second of video: {cost['parsing']:.2f}, of which decoding {cost['decoding']:.3f}")
    print(f"{hours:,.0f} hours: {core_hours:,.0f} core hours, {core_hours * core_price:,.0f} at {core_price} a core hour")
    print(f"in {days:g} days: {cores:,.0f} cores")
    for what, name in (("videos read", "video"), ("parses written", "document")):
        total = cost[name] * hours * HOUR_S
        print(f"{what}: {total / 1e12:.2f} TB, {total / (days * DAY_S) / 1e6:.1f} MB/s on average")
    ratio = cost["parsing"] / cost["decoding"]
    print(f"networks {ratio:.0f} times as fast as now would make decoding the limit of a core")


def report_gpu(cost: dict[str, float], arguments: argparse.Namespace) -> None:
    gpu_hours = arguments.hours / arguments.gpu_realtime
    price = gpu_hours * arguments.gpu_price
    print(f"GPUs at {arguments.gpu_realtime:g} x real time: {gpu_hours:,.0f} GPU hours, {price:,.0f} at {arguments.gpu_price}")
    print(f"each GPU needs {arguments.gpu_realtime * cost['decoding']:.1f} cores for decoding alone")
    print(f"and reads {arguments.gpu_realtime * cost['video'] / 1e6:.1f} MB/s of video")


if __name__ == "__main__":
    main()

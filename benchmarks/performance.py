#!/usr/bin/env python3
"""How fast the pipeline is, as ratios taken in one run, and docs/performance.md from them.

    python benchmarks/performance.py CLIP --five CLIP --data DATA/people [--only chain start …] --out docs/performance.md

Each part keeps its figures in `runs/bench/NAME.json`; parts that do not run, or fail, keep those of their last run. Times of a part
come from one run on one machine, turn by turn, and say what else ran on it as little as they can: ratios are of medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import kinetics_tps
import memory
import performance_page
import reference_networks
import runtimes
import torch
import workers

from parsing.files import atomic
from parsing.media.sources import open_source
from pipelines import VideoParser

KEPT = Path("runs/bench")
STAGES = ("person_detector", "part_detector", "part_states")
TURNS = 3


class NothingToDoError(Exception):
    """Why a part is left out."""


@dataclass(frozen=True)
class Timed:
    """A stage whose calls are timed; `seconds` is a list, so that calls in several threads can add to it."""

    stage: Callable[..., Any]
    seconds: list[float]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stage, name)

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        result = self.stage(*arguments)
        self.seconds.append(time.perf_counter() - started)
        return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the pipeline, as ratios, and docs/performance.md.")
    parser.add_argument("clip", type=Path, help="of one person")
    parser.add_argument("--five", type=Path, metavar="CLIP", help="of five persons")
    parser.add_argument("--data", type=Path, help="the folder of people, for the average precision of each runtime")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("docs/performance.md"))
    arguments = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    failed = [name for name in arguments.only if not has_run(name, arguments)]
    kept = {name: json.loads(file.read_text()) for name in PARTS if (file := KEPT / f"{name}.json").is_file()}
    with atomic(arguments.out) as temporary:
        temporary.write_text(performance_page.document(kept), encoding="utf-8")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; their last figures are kept")


def has_run(name: str, arguments: argparse.Namespace) -> bool:
    """Run a part and keep its figures; one that fails says so and leaves the others to go on."""
    taken_on, started = machine(), time.perf_counter()
    try:
        found = PARTS[name](arguments)
    except NothingToDoError as reason:
        print(f"{name}: left out, {reason}", flush=True)
    except (Exception, SystemExit):
        traceback.print_exc()
        return False
    else:
        (KEPT / f"{name}.json").write_text(json.dumps(found | taken_on, indent=1))
        print(json.dumps({name: found, "seconds": round(time.perf_counter() - started)}), flush=True)
    return True


def machine() -> dict[str, Any]:
    """What the figures are taken on."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    device = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else f"{len(names)} cores, {names[0] if names else platform.machine()}"
    )
    return {"machine": device, "instructions": torch.backends.cpu.get_cpu_capability(), "load": round(os.getloadavg()[0], 1)}


def chain(arguments: argparse.Namespace) -> dict[str, Any]:
    """The default pipeline, with every frame a key frame and with those of the config, and the same networks glued together."""
    ours = {every: VideoParser.from_config("default", [f"every={every}"]) for every in (1, 3)}
    with patch.dict(os.environ, PARTWISE_RUNTIME="torch"):
        glued = VideoParser.from_config("default")
    in_lanes, alone = time_networks(ours[3])
    times: dict[str, list[float]] = {"glued": [], "every 1": [], "every 3": [], "networks": []}
    for _ in range(TURNS):
        times["glued"].append(seconds(lambda: glue(glued, arguments.clip)))
        times["every 1"].append(seconds(lambda: list(ours[1].stream(arguments.clip))))
        in_lanes.clear()
        alone.clear()
        times["every 3"].append(seconds(lambda: list(ours[3].stream(arguments.clip))))
        times["networks"].append(sum(in_lanes) / ours[3].lanes.calls + sum(alone))
    found = {name: median(values) for name, values in times.items()}
    return {
        "clip": described(arguments.clip),
        "glued_over_every_1": found["glued"] / found["every 1"],
        "glued_over_every_3": found["glued"] / found["every 3"],
        "real_time_every_3": length_s(arguments.clip) / found["every 3"],
        "wall_over_networks": found["every 3"] / found["networks"],
    }


def time_networks(parser: VideoParser) -> tuple[list[float], list[float]]:
    """The seconds of calls of the stages, of which several run at a time, and of the recognizers, which have all cores; both grow."""
    in_lanes: list[float] = []
    alone: list[float] = []
    for stage in STAGES:
        setattr(parser, stage, Timed(getattr(parser, stage), in_lanes))
    for name in ("by_size", "tracks_by_size"):
        sizes: Any = getattr(parser, name)
        setattr(parser, name, replace(sizes, large=replace(sizes.large, recognizer=Timed(sizes.large.recognizer, alone))))
    return in_lanes, alone


def glue(parser: VideoParser, clip: Path) -> None:
    """One frame after the other through each network, as one would write it down."""
    with open_source(clip) as source:
        recognizer = parser.by_size.large
        if recognizer is not None:
            indices = recognizer.recognizer.indices(source.num_frames or 1)
            recognizer.recognizer(source.at(indices.tolist()), source.num_frames or 1)
        for frame in source.frames():
            parser.parse_key_frames([frame], None)


def seconds(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def described(clip: Path) -> str:
    with open_source(clip) as source:
        size = f"{source.facts.width} x {source.facts.height}"
        return f"{clip.name}, {size}, {source.num_frames} frames of {source.facts.duration_s:.1f} s"


def length_s(clip: Path) -> float:
    with open_source(clip) as source:
        return float(source.facts.duration_s)


def five(arguments: argparse.Namespace) -> dict[str, Any]:
    """The default pipeline over a clip of five persons."""
    if arguments.five is None:
        raise NothingToDoError("a clip of five persons is given as --five")
    parser = VideoParser.from_config("default", ["every=3"])
    times = [seconds(lambda: list(parser.stream(arguments.five))) for _ in range(TURNS + 1)]
    return {"clip": described(arguments.five), "real_time_every_3": length_s(arguments.five) / median(times[1:])}


FIRST = """
import sys, time
started = time.perf_counter()
from pipelines import VideoParser
frames = iter(VideoParser.from_config("default").stream(sys.argv[1]))
next(frames)  # which stay: their end is no part of the beginning
print(time.perf_counter() - started)
"""


def start(arguments: argparse.Namespace) -> dict[str, Any]:
    """From the start of Python to the parse of the first frame, with graphs in the cache."""
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # once, by the first start
    command = [sys.executable, "-c", FIRST, arguments.clip]
    times = [float(subprocess.check_output(command, env=compiled).split()[-1]) for _ in range(TURNS + 1)]
    return {"first_result_s": median(times[1:])}


def two_workers(arguments: argparse.Namespace) -> dict[str, Any]:
    """`pipelines.run --workers`, each worker with a core of its own."""
    if len(os.sched_getaffinity(0)) < 2:
        raise NothingToDoError("there is one core, and two are compared")
    with tempfile.TemporaryDirectory() as folder:
        one, two = workers.compare(arguments.clip, Path(folder), 8, "default")
    return {"ratio": two / one}


def networks(arguments: argparse.Namespace) -> dict[str, Any]:
    """Networks of the reports against their reference implementations."""
    del arguments
    found = reference_networks.ratios()
    if not found:
        raise NothingToDoError("this processor has no bfloat16")
    return {"ratios": found}


YOLO_FRAMES = 30


def yolo(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time a frame of YOLO11n-pose with its tracker over that of the default pipeline, over frames of the clip."""
    if importlib.util.find_spec("ultralytics") is None:
        raise NothingToDoError("ultralytics is not installed")
    os.environ |= {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
    from ultralytics import YOLO

    theirs, ours = YOLO("yolo11n-pose.yaml"), VideoParser.from_config("default")
    with open_source(arguments.clip) as source:
        images = [frame.image for frame, _ in zip(source.frames(), range(YOLO_FRAMES), strict=False)]
    times: list[tuple[float, float]] = []
    for _ in range(TURNS + 1):
        track = [seconds(lambda image=image: theirs.track(image[..., ::-1], imgsz=640, persist=True, verbose=False)) for image in images]  # type: ignore[misc]
        times.append((sum(track), seconds(lambda: list(ours.stream(frames=images, fps=30)))))
    other, own = zip(*times[1:], strict=True)
    return {"ratio": median(other) / median(own)}


def score(arguments: argparse.Namespace) -> dict[str, Any]:
    """The Kinetics-TPS score of a validation set's size."""
    del arguments
    return {"ratio": median(slow / fast for fast, slow in kinetics_tps.compare(900, 60, 3, os.cpu_count(), TURNS))}


def clips(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory after 60 clips over that after 5, in one process each."""
    peaks = {}
    for count in (5, 60):
        code = f"from pipelines import VideoParser\nfor p in [VideoParser.from_config('default')]:\n for _ in range({count}): "
        code += f"list(zip(range(12), p.stream({str(arguments.clip)!r})))\n"
        # Not what `wait4` says, which begins with what this process holds.
        code += "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])\n"
        peaks[count] = int(subprocess.check_output([sys.executable, "-c", code], text=True)) / 1024
    return {"peak_mib": peaks, "ratio": peaks[60] / peaks[5]}


def length(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of a long video over that of a short one."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (memory.peak_mib(memory.loop(arguments.clip, Path(folder) / f"{n}.mp4", n), []) for n in memory.MINUTES)
    return {"ratio": long / short}


def precision(arguments: argparse.Namespace) -> dict[str, Any]:
    """Average precision of the default stages on each runtime."""
    if arguments.data is None:
        raise NothingToDoError("the folder of people is given as --data")
    return {"ap": runtimes.figures(arguments.data, KEPT)}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "chain": chain,
    "five": five,
    "start": start,
    "workers": two_workers,
    "networks": networks,
    "yolo": yolo,
    "score": score,
    "memory": clips,
    "length": length,
    "runtimes": precision,
}


if __name__ == "__main__":
    main()

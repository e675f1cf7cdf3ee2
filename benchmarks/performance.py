#!/usr/bin/env python3
"""How fast the pipeline is, as ratios taken in one run, and docs/performance.md from them.

    python benchmarks/performance.py CLIP --data DATA/people [--only chain start runtimes memory] --out docs/performance.md

Each part keeps its figures in `runs/bench/NAME.json`; parts that do not run keep those of their last run. Times of a part come
from one run on one machine, turn by turn, and say what else ran on it as little as they can: ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from parsing.files import atomic
from parsing.media.sources import open_source
from pipelines import VideoParser

KEPT = Path("runs/bench")
STAGES = ("person_detector", "part_detector", "part_states")
TURNS = 3


@dataclass(frozen=True)
class Measured:
    """A stage, the training config that names its data, settings of it, its component, and two figures of its report."""

    config: str
    settings: str
    component: str
    figures: tuple[str, str]

    def command(self, stage: str, data: str, options: str) -> list[str]:
        sets = [part for setting in self.settings.format(data=data).split() for part in ("--set", setting)]
        component = f"{{{self.component}, {options}}}"
        return ["-m", "pipelines.evaluate", stage, "--config", self.config, *sets, "--component", component]


BOXES = "pretrained=none data.more=[] data.root={data}"
STATES = "pretrained=none data.images.more=[] data.kinetics_tps=null data.images.root={data}"
PERSONS = "name: cascade_rcnn, score_threshold: 0.01, max_persons: 100"
MEASURED = {
    "person_detector": Measured("configs/person_detector/movenet.yaml", BOXES, PERSONS, ("AP", "AP50")),
    "part_detector": Measured("configs/part_detector/movenet.yaml", BOXES, "name: cascade_rcnn, score_threshold: 0.01", ("AP", "AP50")),
    "part_states": Measured("configs/part_states/movenet.yaml", STATES, "name: part_state_net", ("mean_ap", "accuracy")),
}
VARIANTS = {"PyTorch, float32": "runtime: torch"}
ON_CPUS = {"OpenVINO, float32": "runtime: openvino"}
IN_SHORT = {"PyTorch, bfloat16": "runtime: torch, precision: bfloat16"}  # where the processor or the GPU has it
IN_SHORT_ON_CPUS = {"OpenVINO, bfloat16": "runtime: openvino, precision: bfloat16"}


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
    parser.add_argument("clip", type=Path)
    parser.add_argument("--data", type=Path, help="the folder of people, for the average precision of each runtime")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path("docs/performance.md"))
    arguments = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        found = PARTS[name](arguments)
        (KEPT / f"{name}.json").write_text(json.dumps(found | machine(), indent=1))
        print(json.dumps({name: found}), flush=True)
    with atomic(arguments.out) as temporary:
        temporary.write_text(document(), encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
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
    busy: list[float] = []
    for stage in STAGES:
        setattr(ours[3], stage, Timed(getattr(ours[3], stage), busy))
    times: dict[str, list[float]] = {"glued": [], "every 1": [], "every 3": [], "networks": []}
    for _ in range(TURNS):
        times["glued"].append(seconds(lambda: glue(glued, arguments.clip)))
        times["every 1"].append(seconds(lambda: list(ours[1].stream(arguments.clip))))
        busy.clear()
        times["every 3"].append(seconds(lambda: list(ours[3].stream(arguments.clip))))
        times["networks"].append(sum(busy) / ours[3].lanes.calls)
    with open_source(arguments.clip) as source:
        length_s, count, size = source.facts.duration_s, source.num_frames, f"{source.facts.width} x {source.facts.height}"
    found = {name: median(values) for name, values in times.items()}
    return {
        "clip": f"{arguments.clip.name}, {size}, {count} frames of {length_s:.1f} s",
        "glued_over_every_1": found["glued"] / found["every 1"],
        "glued_over_every_3": found["glued"] / found["every 3"],
        "real_time_every_3": length_s / found["every 3"],
        "wall_over_networks": found["every 3"] / found["networks"],
    }


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


FIRST = """
import sys, time
started = time.perf_counter()
from pipelines import VideoParser
stream = VideoParser.from_config("default").stream(sys.argv[1])
next(iter(stream))
print(time.perf_counter() - started)
"""


def start(arguments: argparse.Namespace) -> dict[str, Any]:
    """From the start of Python to the parse of the first frame, with graphs in the cache."""
    times = [float(subprocess.check_output([sys.executable, "-c", FIRST, arguments.clip]).split()[-1]) for _ in range(TURNS + 1)]
    return {"first_result_s": median(times[1:])}


def runtimes(arguments: argparse.Namespace) -> dict[str, Any]:
    """Average precision of the default detectors on each runtime, by `pipelines.evaluate`."""
    if arguments.data is None:
        raise SystemExit("runtimes: give the folder of people as --data")
    found: dict[str, Any] = {}
    for stage, measured in MEASURED.items():
        for name, options in variants().items():
            report = KEPT / f"{stage} {name}.json"
            if not report.is_file():
                command = [sys.executable, *measured.command(stage, str(arguments.data), options), "--out", str(report), "--quiet"]
                subprocess.run(command, check=True)
            figures = json.loads(report.read_text())["all"]
            found.setdefault(stage, {})[name] = [figures[one] for one in measured.figures]
    return {"ap": found}


def variants() -> dict[str, str]:
    """The runtimes and precisions that this machine has."""
    on_gpu = torch.cuda.is_available()
    has_short = on_gpu or "bf16" in Path("/proc/cpuinfo").read_text()
    return VARIANTS | ({} if on_gpu else ON_CPUS) | (IN_SHORT | ({} if on_gpu else IN_SHORT_ON_CPUS) if has_short else {})


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Peak memory after 60 clips over that after 5, in one process each."""
    peaks = {}
    for count in (5, 60):
        code = f"from pipelines import VideoParser\nfor p in [VideoParser.from_config('default')]:\n for _ in range({count}): "
        code += f"list(zip(range(12), p.stream({str(arguments.clip)!r})))\n"
        process = subprocess.Popen([sys.executable, "-c", code])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit("memory: a run failed")
        peaks[count] = usage.ru_maxrss / 1024
    return {"peak_mib": peaks, "ratio": peaks[60] / peaks[5]}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "chain": chain,
    "start": start,
    "runtimes": runtimes,
    "memory": memory,
}


HEAD = """# Performance

Written by `make bench CLIP=video.mp4 DATA=DATA/people`. What one row compares was taken in one run, turn by turn; ratios are of medians.
Times and rates by themselves mean something only where the load is below the number of cores.
"""
ROWS = {
    "chain": (
        ("glued_over_every_1", "the same networks glued together in eager PyTorch, frame by frame, over every frame a key frame", "≥ 2.5"),
        ("glued_over_every_3", "the same over every third frame a key frame", "≥ 8"),
        ("real_time_every_3", "real-time factor, every third frame a key frame", "≥ 2.5"),
        ("wall_over_networks", "wall time over the time of the networks, divided by how many run at a time", "≤ 1.05"),
    ),
    "start": (("first_result_s", "seconds from the start of Python to the first parse, graphs in the cache", "≤ 4"),),
    "memory": (("ratio", "peak memory after 60 clips over that after 5", "≤ 1.05"),),
}


def document() -> str:
    """docs/performance.md from what is kept."""
    kept = {name: json.loads(file.read_text()) for name in PARTS if (file := KEPT / f"{name}.json").is_file()}
    lines = [HEAD]
    if clip := kept.get("chain", {}).get("clip"):
        lines.append(f"The clip: {clip}.\n")
    if any(name in kept for name in ROWS):
        lines += ["| what | here | aim | machine, instructions, load |", "|---|---|---|---|"]
    for name, rows in ROWS.items():
        if (found := kept.get(name)) is not None:
            where = f"{found['machine']}, {found['instructions']}, {found['load']}"
            lines += [f"| {what} | {found[key]:.2f} | {aim} | {where} |" for key, what, aim in rows]
    if "runtimes" in kept:
        lines += runtime_table(kept["runtimes"])
    return "\n".join(lines) + "\n"


def runtime_table(found: dict[str, Any]) -> list[str]:
    lines = [
        "\n## Runtimes and precision\n",
        f"On the validation images of `DATA/people`, on {found['machine']} ({found['instructions']}). "
        "Of detectors the figures are AP and AP50 of boxes, of part states mean AP and accuracy.\n",
        "| stage | runtime, precision | figures | first one against PyTorch in float32 |",
        "|---|---|---|---|",
    ]
    for stage, rows in found["ap"].items():
        base = rows["PyTorch, float32"][0]
        lines += [f"| {stage} | {name} | {one:.4f}, {other:.4f} | {one - base:+.4f} |" for name, (one, other) in rows.items()]
    lines.append("\nOne row of each is made by:\n\n```")
    lines += [shlex.join(["python", *one.command(stage, "DATA/people", "runtime: openvino")]) for stage, one in MEASURED.items()]
    return [*lines, "```"]


if __name__ == "__main__":
    main()

"""Time and peak memory of what is done with a long parse, or one of many people, beside those for a tenth of it.

python benchmarks/long_parse.py                                  # ten hours at five frames a second, two persons
python benchmarks/long_parse.py --hours 0.1 --persons 200        # and the same of a crowd
python benchmarks/long_parse.py --only show table

The parse is made: persons who walk to and fro, each a new track every ten minutes, every third frame a key frame.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import av
import numpy as np

from parsing.document import VideoParse
from parsing.pose import pose_vocabulary
from parsing.types import ActionScore, Array, Detections, FrameParse, Parts, PartStates, VideoFacts
from parsing.writing import ParseWriter

HW, TRACK_S, CYCLE = (240, 320), 600, 50
VOCABULARY = pose_vocabulary(("run", "walk"))
EXPORTS = ("table", "coco", "ytvis", "mot", "ava", "cvat", "label_studio", "yolo", "webvtt", "fiftyone")
COMMANDS = {
    "show": ["show", "{parse}"],
    "report": ["report", "{parse}", "--out", "{out}/report.html"],
    "select": ["select", "{parse}", "--videos", "{folder}", "--out", "{out}/select"],
} | {name: ["export", name, "{parse}", "--out", f"{{out}}/{name}"] for name in EXPORTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10.0)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--persons", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=[*COMMANDS])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        sizes = [round(arguments.hours * 3600 * arguments.fps * share) for share in (0.1, 1)]
        parses = [write_parse(Path(name, str(size)), size, arguments.fps, arguments.persons) for size in sizes]
        megabytes = [parse.stat().st_size / 2**20 for parse in parses]
        print(f"| {sizes[0]} and {sizes[1]} frames, {megabytes[0]:.0f} and {megabytes[1]:.0f} MiB | seconds | MiB at most | code |")
        print("|---|---|---|---|", flush=True)
        for command in arguments.only:
            if command == "select":
                for parse in parses:
                    write_video(parse.parent / "long.mp4", sizes[parses.index(parse)], arguments.fps)
            found = [run(command, parse) for parse in parses]
            columns = zip(*found, strict=True)
            print(f"| {command} | " + " | ".join(", ".join(column) for column in columns) + " |", flush=True)


def run(command: str, parse: Path) -> tuple[str, str, str]:
    """Seconds, peak of memory, and exit code of a command; what it says goes to stderr."""
    with tempfile.TemporaryDirectory() as out:
        words = [word.format(parse=parse, folder=parse.parent, out=out) for word in COMMANDS[command]]
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "pipelines.main", *words, "--quiet"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return f"{time.perf_counter() - started:.1f}", f"{usage.ru_maxrss / 1024:.0f}", str(process.returncode)


def write_parse(folder: Path, count: int, fps: int, persons: int) -> Path:
    folder.mkdir()
    duration_s = count / fps
    facts = VideoFacts("long.mp4", HW[1], HW[0], 0, fps, duration_s, count, count, 0)
    actions = tuple(ActionScore(("run", "walk")[i % 2], 0.75, 60.0 * i, 60.0 * i + 60) for i in range(int(duration_s // 60)))
    with ParseWriter(folder / "long.json", VOCABULARY) as writer:
        for frame in frames(count, fps, persons):
            writer.add(frame)
        writer.finish(VideoParse(facts, VOCABULARY, actions, (), (), True))
    return folder / "long.json"


def frames(count: int, fps: int, persons: int) -> Iterator[FrameParse]:
    random = np.random.default_rng(0)
    cycle = [_frame(random, step, persons) for step in range(CYCLE)]
    for i in range(count):
        frame = cycle[i % CYCLE]
        ids = np.arange(persons) + persons * (i // (fps * TRACK_S))
        yield replace(frame, index=i, time_s=i / fps, key=i % 3 == 0, persons=replace(frame.persons, track_ids=ids))


def _frame(random: np.random.Generator, step: int, persons: int) -> FrameParse:
    p, s = VOCABULARY.allowed.shape
    left = random.uniform(0, 200, persons) + abs(step - CYCLE / 2)
    boxes: Array = np.stack([left, np.full(persons, 40), left + 60, np.full(persons, 220)], 1).astype(np.float32)
    visible = random.random((persons, p)) < 0.9
    parts = (boxes[:, None] * np.ones((1, p, 1), np.float32) + random.uniform(0, 9, (persons, p, 4)).astype(np.float32)) * visible[
        ..., None
    ]
    states = random.random((persons, p, s)) ** 4 * VOCABULARY.allowed * visible[..., None]
    found = Detections(boxes, np.full(persons, 0.9), np.zeros(persons), np.arange(persons))
    return FrameParse(0, 0.0, found, Parts(parts, visible * 0.8, visible), PartStates(states))


def write_video(path: Path, count: int, fps: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.height, stream.width, stream.pix_fmt = *HW, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((*HW, 3), 120, np.uint8), format="rgb24").reformat(format="yuv420p")
        for i in range(count):
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()

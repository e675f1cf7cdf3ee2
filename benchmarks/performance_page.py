"""docs/performance.md from the figures that `performance.py` keeps."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from runtimes import MEASURED

HEAD = """# Performance

Written by `make bench CLIP=video.mp4 FIVE=five_persons.mp4 DATA=DATA/people`; `python benchmarks/performance.py --only` takes parts.
What one row compares was taken in one run, turn by turn; ratios are of medians. Times and rates by themselves mean something only
where the load, counted before the part began, is below the number of cores.
"""
# Part -> its figures: key, what it says, what is aimed at.
ROWS = {
    "chain": (
        ("glued_over_every_1", "the same networks glued together in eager PyTorch, frame by frame, over every frame a key frame", "≥ 2.5"),
        ("glued_over_every_3", "the same over every third frame a key frame", "≥ 8"),
        ("real_time_every_3", "real-time factor, one person, every third frame a key frame", "≥ 2.5"),
        ("wall_over_networks", "wall time over the time of the networks, divided by how many run at a time", "≤ 1.05"),
    ),
    "five": (("real_time_every_3", "real-time factor, five persons, every third frame a key frame", "≥ 1.0"),),
    "start": (("first_result_s", "seconds from the start of Python to the first parse, graphs in the cache", "≤ 4"),),
    "workers": (("ratio", "videos a second of two workers of one core over one worker of one core", "≥ 1.8"),),
    "yolo": (("ratio", "time a frame of ultralytics' YOLO11n-pose and its tracker, 640 px, random weights, over ours", "≥ 3"),),
    "score": (("ratio", "Kinetics-TPS score of 900 videos by a plain loop over ours, both from the files", "≥ 5"),),
    "memory": (("ratio", "peak memory after 60 clips over that after 5", "≤ 1.05"),),
    "length": (("ratio", "peak memory of a video of 10 minutes over that of 1 minute, 480p", "≤ 1.05"),),
}
NETWORKS_AIM = "≤ 0.35"
STILL = """
## Persons who hold still

Parts and states of a person who has hardly moved since the last key frame could be kept. `python benchmarks/still_persons.py CLIP...`
tells what that saves and costs, for limits on the mean difference of small grey crops. With a limit of 1 (of 255), 28 % of the persons
of a weight-lifter's clip keep their parts, at a part IoU of 0.945 with the full run, and 0 to 3 % in clips of juggling, a street, skating,
several persons and poses; with 4, at most 7 % outside of the weight-lifter's and the street's clip, at a part IoU of 0.62 to 0.88. Parts
and states are a third of a key frame's time, so on ordinary clips this would save about 1 %, and it is not built.
"""


def document(kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The page.

    Args:
        kept: figures of each part that has run, with what they were taken on.
    """
    lines = [HEAD]
    for name, what in (("chain", "one person"), ("five", "five persons")):
        if name in kept:
            lines.append(f"The clip with {what}: {kept[name]['clip']}.\n")
    if any(name in kept for name in ROWS):
        lines += ["| what | here | aim | machine, instructions, load |", "|---|---|---|---|"]
    for name, rows in ROWS.items():
        if name in kept:
            lines += [f"| {what} | {kept[name][key]:.2f} | {aim} | {taken_on(kept[name])} |" for key, what, aim in rows]
    lines += network_table(kept["networks"]) if "networks" in kept else []
    lines += runtime_table(kept["runtimes"]) if "runtimes" in kept else []
    return "\n".join([*lines, STILL])


def taken_on(found: Mapping[str, Any]) -> str:
    return f"{found['machine']}, {found['instructions']}, {found['load']}"


def network_table(found: Mapping[str, Any]) -> list[str]:
    return [
        "\n## Networks of the reports\n",
        "The network as a pipeline runs it, a graph of OpenVINO in bfloat16, over the reference implementation (torchvision, timm) in "
        f"eager PyTorch, float32: time over time, aim {NETWORKS_AIM} (`python benchmarks/reference_networks.py`, on {taken_on(found)}).\n",
        "| network | ratio |",
        "|---|---|",
        *(f"| {name} | {ratio:.2f} |" for name, ratio in found["ratios"].items()),
    ]


def runtime_table(found: Mapping[str, Any]) -> list[str]:
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

#!/usr/bin/env python3
"""What the pipelines of public networks cost: seconds a key frame of the person detector, seconds a window of the recognizer.

    python benchmarks/public.py [--repeats 3] [--only recognizer]

The networks of the configs `public` and `public_fast` with random weights, at their own input sizes, on one 1280 x 720 picture, in
PyTorch and on OpenVINO turn by turn; medians. The persons of the random detector are kept to ten. Graphs of others (YOLOX, RTMPose,
RTMW) cannot be made here and are not timed; part states are in docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from seeded import seeded_image

from detectors import networks as detector_networks
from detectors.networks.conversion import TARGETS as DETECTORS
from detectors.persons import PersonDetectorConfig
from parsing.label_lists import label_list
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.networks.zoo import find
from parsing.types import Frame
from pipelines.config_files import config_path, read_settings
from recognizers.networks import parse_architecture
from recognizers.networks.conversion import TARGETS as RECOGNIZERS
from recognizers.video import VideoRecognizerConfig

RUNTIMES = ("torch", "openvino")
WINDOW = 300  # frames that a window has to choose from
PICTURE = seeded_image(720, 1280)
FRAMES = {i: Frame("a.mp4", i, i / 25, PICTURE) for i in range(WINDOW)}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the pipelines of public networks cost.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("person_detector", "recognizer"))
    arguments = parser.parse_args()
    machine = f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f} at the start"
    print(f"{machine}; medians of {arguments.repeats}\n")
    print("| pipeline | stage | network | PyTorch, s | OpenVINO, s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("public", "public_fast"):
            settings = read_settings(config_path(name), [])
            chosen = [("person_detector", settings["person_detector"]), ("recognizer", settings["recognizers"][0])]
            for stage, component in chosen:
                if component["name"] != "onnx" and arguments.only in (None, stage):
                    runs = [RUN[stage](component, Path(folder), runtime) for runtime in RUNTIMES]
                    seconds = taking_turns(runs, arguments.repeats)
                    print(f"| `{name}` | {stage} | {component['name']} | " + " | ".join(f"{s:.2f}" for s in seconds) + " |", flush=True)


def detector(component: dict[str, Any], folder: Path, runtime: Any) -> Callable[[], object]:
    """One key frame through a detector with the layout of an entry of the zoo."""
    name, fields = DETECTORS[find(component["weights"]).target]
    architecture = detector_networks.parse_architecture(name, {**fields, "class_names": list(label_list("coco"))}, name)
    torch.manual_seed(0)
    network = detector_networks.build_network(name, architecture)
    labels = {"classes": list(label_list("coco"))}
    save_weights(network, folder / "detector.safetensors", WeightsHeader(name, asdict(cast(Any, architecture)), labels), torch.float32)
    config = PersonDetectorConfig(name, str(folder / "detector.safetensors"), max_persons=10, runtime=runtime)
    stage = replace(config, score_threshold=component["score_threshold"]).build("cpu")
    return lambda: stage([FRAMES[0]])


def recognizer(component: dict[str, Any], folder: Path, runtime: Any) -> Callable[[], object]:
    """One window through a recognizer with the layout of an entry of the zoo."""
    entry = find(component["weights"])
    name, fields = RECOGNIZERS[entry.target]
    architecture, actions = parse_architecture(name, fields, name), label_list(entry.labels)
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    save_weights(
        architecture.build(actions), path, WeightsHeader(name, asdict(cast(Any, architecture)), {"actions": list(actions)}), torch.float32
    )
    stage = VideoRecognizerConfig(name, str(path), runtime=runtime).build("cpu")
    return lambda: stage({int(i): FRAMES[int(i)] for i in stage.indices(WINDOW)}, WINDOW)


RUN: dict[str, Callable[[dict[str, Any], Path, Any], Callable[[], object]]] = {"person_detector": detector, "recognizer": recognizer}


def taking_turns(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each of some runs, which alternate; the first turn warms up."""
    seconds: list[list[float]] = [[] for _ in runs]
    for turn in range(repeats + 1):
        for run, found in zip(runs, seconds, strict=True):
            started = time.perf_counter()
            run()
            if turn:
                found.append(time.perf_counter() - started)
    return [median(found) for found in seconds]


if __name__ == "__main__":
    main()

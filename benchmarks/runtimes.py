"""Average precision of the default stages on each runtime and in each precision, by `pipelines.evaluate`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from parsing.networks.weights import sha256_of


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
VARIANTS = {"PyTorch, float32": "runtime: torch, precision: float32"}
ON_CPUS = {"OpenVINO, float32": "runtime: openvino, precision: float32"}
IN_SHORT = {"PyTorch, bfloat16": "runtime: torch, precision: bfloat16"}  # where the processor or the GPU has it
IN_SHORT_ON_CPUS = {"OpenVINO, bfloat16": "runtime: openvino, precision: bfloat16"}


def figures(data: Path, kept: Path) -> dict[str, dict[str, list[float]]]:
    """The two figures of each stage and variant; reports lie in `kept`, and those of the same weights are not made again."""
    found: dict[str, dict[str, list[float]]] = {}
    for stage, measured in MEASURED.items():
        for name, options in variants().items():
            report = kept / f"{stage} {name} {sha256_of(f'default/{stage}')[:12]}.json"
            if not report.is_file():
                command = [sys.executable, *measured.command(stage, str(data), options), "--out", str(report), "--quiet"]
                subprocess.run(command, check=True)
            all_images: dict[str, Any] = json.loads(report.read_text())["all"]
            found.setdefault(stage, {})[name] = [all_images[one] for one in measured.figures]
    return found


def variants() -> dict[str, str]:
    """The runtimes and precisions that this machine has."""
    on_gpu = torch.cuda.is_available()
    has_short = on_gpu or "bf16" in Path("/proc/cpuinfo").read_text()
    return VARIANTS | ({} if on_gpu else ON_CPUS) | (IN_SHORT | ({} if on_gpu else IN_SHORT_ON_CPUS) if has_short else {})

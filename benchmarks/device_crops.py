#!/usr/bin/env python3
"""What it changes that crops and sizes of images are made in PyTorch, as on a GPU, and not by OpenCV, as on a CPU.

    python benchmarks/device_crops.py DATA/people [--images 100] [--device cpu]

Average precision of persons and parts, and mean average precision and accuracy of states, of the shipped networks on validation
images, both ways on the same device. Of crops, on the same persons, how far both differ in grey levels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from runtimes import MEASURED, Measured

from parsing.configs import parse_yaml, resolve
from parsing.datasets import Problems, read_records
from parsing.geometry import Crop
from parsing.media.images import read_image
from parsing.networks import device_images
from pipelines.config_files import read_settings
from pipelines.stages import COMPONENTS
from pipelines.trainings import training_config

CROP_PX, CONTEXT = 256, 1.2  # of the shipped part detector


def main() -> None:
    parser = argparse.ArgumentParser(description="Crops made in PyTorch against OpenCV's.")
    parser.add_argument("data", type=Path, help="the folder of people")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        some = Path(folder) / "some.json"
        write_some(arguments.data / "annotations_val.json", some, arguments.images)
        print(json.dumps({"crops": grey_levels(some, arguments.data / "images")}))
        for stage, measured in MEASURED.items():
            host, there = (figures(stage, measured, arguments.data, some, arguments.device, way) for way in (False, True))
            rows = {name: {"OpenCV": host[name], "PyTorch": there[name]} for name in measured.figures}
            print(json.dumps({stage: rows}), flush=True)


def write_some(annotations: Path, path: Path, images: int) -> None:
    """As many of the images of a file of annotations, taken evenly."""
    document = json.loads(annotations.read_text())
    rows = np.linspace(0, len(document["images"]) - 1, min(images, len(document["images"]))).round().astype(int)
    document["images"] = [document["images"][row] for row in rows]
    kept = {image["id"] for image in document["images"]}
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in kept]
    path.write_text(json.dumps(document))


def grey_levels(annotations: Path, images: Path) -> dict[str, Any]:
    """Differences of the crops of all persons."""
    off: list[np.ndarray[Any, Any]] = []
    for record in read_records("coco", annotations, images, Problems("fail"), "val"):
        image = read_image(record.path)
        crops = [Crop.around(person.xyxy, CROP_PX, CONTEXT) for person in record.persons]
        host, there = (made(way, [image] * len(crops), crops) for way in (False, True))
        off += [np.abs(one.astype(int) - other) for one, other in zip(host, there, strict=True)]
    return {
        "persons": len(off),
        "mean": round(float(np.mean(off)), 3),
        "largest": int(np.max(off)),
        "over 1": round(float(np.mean(np.array(off) > 1)), 4),
    }


def made(there: bool, images: list[Any], crops: list[Crop]) -> list[np.ndarray[Any, Any]]:
    with patch.object(device_images, "made_on", lambda _: there):
        return [crop.numpy() for crop in device_images.crop_images(images, crops, "cpu")]


def figures(stage: str, measured: Measured, data: Path, annotations: Path, device: str, there: bool) -> dict[str, float]:
    """The figures of a stage's report on these images, its crops made the one way or the other."""
    key = "data.images.val" if stage == "part_states" else "data.val"
    sets = [*measured.settings.format(data=data).split(), f"{key}={annotations}"]
    training = training_config(stage, read_settings(measured.config, sets), measured.config)
    component = resolve(COMPONENTS[stage], parse_yaml(f"{{{measured.component}, runtime: torch}}", stage), stage)
    with patch.object(device_images, "made_on", lambda _: there):
        found = training.evaluate(component.build(device), device=device)["all"]
    return {name: round(found[name], 4) for name in measured.figures}


if __name__ == "__main__":
    main()

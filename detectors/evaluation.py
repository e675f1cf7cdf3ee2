"""How well a network finds persons or parts in annotated images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detectors.networks import DetectionNetwork
from detectors.parts import NetworkPartDetector
from detectors.persons import NetworkPersonDetector
from detectors.suppression import Boxes, Suppression
from parsing.datasets.records import ImageRecord, true_parts
from parsing.measures.boxes import BoxTruth, box_metrics
from parsing.media.images import read_image
from parsing.stages import PartDetector, PersonDetector, PoseEstimator
from parsing.types import Detections, Frame

Target = Literal["persons", "parts"]
LEAST_SCORE, MOST_PERSONS = 0.01, 100  # of person detectors that are measured
PHANTOM_SCORES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


@dataclass(frozen=True, eq=False)
class Item:
    """An image (persons) or a person's crop (parts) with its truth and what was found."""

    source: str
    truth: BoxTruth
    found: Boxes


def frame_of(record: ImageRecord) -> Frame:
    return Frame(record.path.name, 0, 0.0, read_image(record.path))


def figures_by_source(items: Sequence[Item], class_names: Sequence[str]) -> dict[str, Any]:
    """COCO figures over all items (`all`) and over each source, and phantoms where there are items without any object."""
    groups = {"all": list(items)} | {s: [i for i in items if i.source == s] for s in sorted({i.source for i in items})}
    return {
        name: box_metrics([i.truth for i in group], [i.found for i in group], class_names) | phantom_figures(group)
        for name, group in groups.items()
    }


def phantom_figures(items: Sequence[Item]) -> dict[str, Any]:
    """Boxes an image, by the least score, of the images that hold no object and no ignored region; empty without such images."""
    empty = [item.found[1] for item in items if not len(item.truth.xyxy)]
    if not empty:
        return {}
    scores = np.concatenate(empty)
    phantoms = {f"{score:.1f}": round(float((scores >= score).sum()) / len(empty), 4) for score in PHANTOM_SCORES}
    return {"empty_images": len(empty), "phantoms_per_image": phantoms}


def evaluate_network(
    network: DetectionNetwork, records: Sequence[ImageRecord], target: Target, device: str, pose: PoseEstimator | None = None
) -> dict[str, Any]:
    """Figures of a network; parts are found in crops of the ground-truth persons.

    Args:
        pose: keypoints for part networks that take heatmaps.
    """
    return figures_by_source(network_items(network, records, target, device, pose), network.architecture.class_names)


def network_items(
    network: DetectionNetwork, records: Sequence[ImageRecord], target: Target, device: str, pose: PoseEstimator | None = None
) -> list[Item]:
    """What a network finds, with hardly a threshold."""
    network.eval()
    names = network.architecture.class_names
    if target == "persons":
        persons = NetworkPersonDetector(network, device, LEAST_SCORE, Suppression(), MOST_PERSONS, classes=names)
        return person_items(persons, records, names)
    detector = NetworkPartDetector(network, device, np.zeros(len(names), np.float32), batch_size=16, pose=pose)
    return part_items(detector, records)


def person_items(detector: PersonDetector, records: Sequence[ImageRecord], class_names: Sequence[str]) -> list[Item]:
    """Every image with its objects of some classes, and those that a stage finds."""
    items = []
    for record in records:
        objects = [item for item in record.objects if item.label in class_names]
        found = detector([frame_of(record)])[0]
        boxes = np.array([item.xyxy for item in objects], np.float32).reshape(-1, 4)
        class_ids = np.array([class_names.index(item.label) for item in objects], int)
        truth = BoxTruth(boxes, class_ids, np.array([item.crowd for item in objects], bool))
        items.append(Item(record.source, truth, (found.xyxy, found.scores, found.class_ids)))
    return items


def part_items(detector: PartDetector, records: Sequence[ImageRecord]) -> list[Item]:
    """Every person whose parts are known, and the parts that a stage finds when it is given the true person."""
    items = []
    for record in records:
        known = [person for person in record.persons if person.has_parts(detector.part_names) and not person.crowd]
        if not known:
            continue
        persons = Detections(np.stack([person.xyxy for person in known]), np.ones(len(known)), np.zeros(len(known)))
        found = detector([frame_of(record)], [persons])[0]
        for i, person in enumerate(known):
            boxes, sure, ignored = true_parts(person, detector.part_names)
            counted = np.flatnonzero(sure | ignored)
            truth = BoxTruth(boxes[counted], counted, ignored[counted])
            shown = np.flatnonzero(found.visible[i])
            items.append(Item(record.source, truth, (found.xyxy[i, shown], found.scores[i, shown], shown)))
    return items

"""Several detectors as one, by weighted box fusion (Solovyev et al., 2021)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from detectors import PART_DETECTORS, PERSON_DETECTORS
from detectors.parts import visible_parts
from detectors.suppression import fuse
from parsing.configs import Choice, Share, StageConfig, config
from parsing.errors import InputError
from parsing.stages import PartDetector, PersonDetector
from parsing.types import Array, Detections, Frame, ModelFacts, Parts


@config
class EnsemblePersonsConfig:
    """Person detectors whose boxes are fused.

    Args:
        members: configs of person detectors.
        weights: how much each counts; empty weighs all alike.
        iou: overlap from which boxes are taken for the same person.
        score_threshold: of fused boxes; one that few members found has lost score.
    """

    name: Literal["ensemble"]
    members: Annotated[tuple[Annotated[StageConfig, Choice(PERSON_DETECTORS)], ...], Field(min_length=1)]
    weights: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = ()
    iou: Share = 0.55
    score_threshold: Share = 0.3

    def build(self, device: str) -> EnsemblePersons:
        members: list[PersonDetector] = _build(self.members, self.weights, "person_detector", device)
        return EnsemblePersons(
            members,
            self.weights or None,
            self.iou,
            self.score_threshold,
            facts=_facts("person_detector", [member.facts for member in members], self),
        )


@config
class EnsemblePartsConfig:
    """Part detectors whose boxes are fused, part by part; fields as `EnsemblePersonsConfig`."""

    name: Literal["ensemble"]
    members: Annotated[tuple[Annotated[StageConfig, Choice(PART_DETECTORS)], ...], Field(min_length=1)]
    weights: tuple[Annotated[float, Field(gt=0, le=1e6)], ...] = ()
    iou: Share = 0.55
    score_threshold: Share = 0.2

    def build(self, device: str) -> EnsembleParts:
        members: list[PartDetector] = _build(self.members, self.weights, "part_detector", device)
        names = {member.part_names for member in members}
        if len(names) > 1:
            raise InputError(f"part_detector.members: find different parts: {' and '.join(map(str, sorted(names)))}")
        return EnsembleParts(
            members,
            self.weights or None,
            self.iou,
            self.score_threshold,
            facts=_facts("part_detector", [member.facts for member in members], self),
        )


class EnsemblePersons:
    """Fused boxes of several person detectors, best first."""

    def __init__(
        self,
        members: Sequence[PersonDetector],
        weights: Sequence[float] | None,
        iou: float,
        score_threshold: float,
        facts: ModelFacts = ModelFacts("person_detector", "ensemble", None, "{}"),
    ) -> None:
        self.facts = facts
        self.members, self.weights, self.iou, self.score_threshold = members, weights, iou, score_threshold

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        found = [member(frames) for member in self.members]
        return [self._fused(frame, [rows[i] for rows in found]) for i, frame in enumerate(frames)]

    def _fused(self, frame: Frame, found: Sequence[Detections]) -> Detections:
        columns = [(d.xyxy, d.scores, d.class_ids) for d in found]
        boxes, scores, classes = fuse(columns, frame.image_hw, self.iou, self.weights)
        kept = scores >= self.score_threshold
        return Detections(boxes[kept], scores[kept], classes[kept])


class EnsembleParts:
    """For each part of each person, the fused box that scores best."""

    def __init__(
        self,
        members: Sequence[PartDetector],
        weights: Sequence[float] | None,
        iou: float,
        score_threshold: float,
        facts: ModelFacts = ModelFacts("part_detector", "ensemble", None, "{}"),
    ) -> None:
        self.facts = facts
        self.members, self.weights, self.iou, self.score_threshold = members, weights, iou, score_threshold
        self.part_names, self.swap = members[0].part_names, members[0].swap

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        found = [member(frames, persons) for member in self.members]
        return [self._fused(frame, [rows[i] for rows in found]) for i, frame in enumerate(frames)]

    def _fused(self, frame: Frame, found: Sequence[Parts]) -> Parts:
        num_persons, num_parts = len(found[0]), len(self.part_names)
        boxes, scores = np.zeros((num_persons, num_parts, 4), np.float32), np.zeros((num_persons, num_parts), np.float32)
        for person in range(num_persons):
            columns = [_of_person(parts, person) for parts in found]
            for box, score, part in zip(*fuse(columns, frame.image_hw, self.iou, self.weights), strict=True):
                if score > scores[person, part]:
                    boxes[person, part], scores[person, part] = box, score
        return visible_parts(boxes, scores, scores >= max(self.score_threshold, 1e-6))


def _of_person(parts: Parts, person: int) -> tuple[Array, Array, Array]:
    shown = np.flatnonzero(parts.visible[person])
    return parts.xyxy[person, shown], parts.scores[person, shown], shown


def _build(members: Sequence[StageConfig], weights: Sequence[float], stage: str, device: str) -> list[Any]:
    if weights and len(weights) != len(members):
        raise InputError(f"{stage}.weights: {len(weights)} weights for {len(members)} members")
    return [member.build(device) for member in members]


def _facts(stage: str, members: Sequence[ModelFacts], options: Any) -> ModelFacts:
    """The members' hashes stand in the config; an ensemble has no weights of its own."""
    hashes = {f"member{i}_sha256": facts.weights_sha256 for i, facts in enumerate(members)}
    return ModelFacts(stage, "ensemble", None, json.dumps(asdict(options) | hashes))

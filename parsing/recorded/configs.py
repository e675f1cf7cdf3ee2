"""Configs of the stages that look up instead of compute."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any, Literal

from parsing.configs import config
from parsing.errors import InputError
from parsing.networks.weights import model_facts
from parsing.recorded.stages import (
    RecordedActions,
    RecordedParts,
    RecordedPersons,
    RecordedPoses,
    RecordedStates,
    RecordedTracks,
    Recordings,
    TimedScores,
)
from parsing.types import ModelFacts


@config
class RecordedPersonsConfig:
    """Persons from `recordings`: a parse.json, a folder of them, COCO person_keypoints JSON, or Kinetics-TPS ground truth.

    The same holds for every stage here; `oracle` and `replay` tell in the parse whether these are truth or saved output.
    """

    name: Literal["oracle", "replay"]
    recordings: str

    def build(self, device: str) -> RecordedPersons:  # noqa: ARG002  # every stage is built for a device
        return RecordedPersons(Recordings(Path(self.recordings)), _facts("person_detector", self))


@config
class RecordedTracksConfig:
    """Tracks from parses; COCO images have none."""

    name: Literal["oracle", "replay"]
    recordings: str

    def build(self, device: str) -> RecordedTracks:  # noqa: ARG002
        return RecordedTracks(Recordings(Path(self.recordings)), _facts("tracker", self))


@config
class RecordedPartsConfig:
    """Parts from parses, or from COCO keypoints by the rules of `parsing.pose`."""

    name: Literal["oracle", "replay"]
    recordings: str

    def build(self, device: str) -> RecordedParts:  # noqa: ARG002
        return RecordedParts(Recordings(Path(self.recordings)), _facts("part_detector", self))


@config
class RecordedPosesConfig:
    """Keypoints from COCO person_keypoints JSON."""

    name: Literal["oracle", "replay"]
    recordings: str

    def build(self, device: str) -> RecordedPoses:  # noqa: ARG002
        recordings = Recordings(Path(self.recordings))
        if not recordings.keypoints:
            raise InputError(f"{self.recordings}: holds no keypoints; expected COCO person_keypoints JSON")
        return RecordedPoses(recordings, _facts("pose", self))


@config
class RecordedStatesConfig:
    """States from parses, or from COCO keypoints by rule; `actions` are the recognizer's, where the recordings name none."""

    name: Literal["oracle", "replay"]
    recordings: str
    actions: tuple[str, ...] = ()

    def build(self, device: str) -> RecordedStates:  # noqa: ARG002
        return RecordedStates(Recordings(Path(self.recordings)), _facts("part_states", self), self.actions)


@config
class RecordedActionsConfig:
    """Action scores from parses, or true actions from a CSV with the columns file and label.

    Args:
        actions: names in the order of the scores; a CSV needs them, parses bring their own.
    """

    name: Literal["oracle", "replay"]
    recordings: str
    actions: tuple[str, ...] = ()

    def build(self, device: str) -> RecordedActions:  # noqa: ARG002
        path, facts = Path(self.recordings), _facts("recognizer", self)
        if path.suffix == ".csv":
            return RecordedActions(path, _read_labels(path), self.actions, facts)
        recordings = Recordings(path)
        return RecordedActions(path, recordings.scores, self.actions or recordings.vocabulary.actions, facts)


def _read_labels(path: Path) -> dict[str, list[TimedScores]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {Path(row["file"]).name: [TimedScores(0.0, math.inf, {row["label"]: 1.0})] for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise InputError(f"{path}: not a CSV with the columns file and label ({error})") from None


def _facts(stage: str, options: Any) -> ModelFacts:
    return model_facts(stage, options)

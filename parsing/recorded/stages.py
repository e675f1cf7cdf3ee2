"""Stages that look up instead of compute: `replay` (saved parses) and `oracle` (ground truth).

Both read the same store. Any stage of a pipeline may be swapped for one, which tells how much that stage costs in
quality (oracle) or lets the later stages run alone (replay).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from parsing.datasets import default_images, read_coco
from parsing.datasets.coco import read_part_vocabulary
from parsing.datasets.kinetics_tps.results import is_truth, read_truth
from parsing.datasets.kinetics_tps.truth import truth_frames, truth_vocabulary
from parsing.datasets.records import ImageRecord, ObjectRecord, true_parts, true_states
from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.geometry import box_ious
from parsing.json_files import read_json
from parsing.keypoints import coco_keypoints
from parsing.pose import pose_vocabulary
from parsing.stages import Item
from parsing.types import ActionScores, Array, Detections, Frame, FrameParse, ModelFacts, Parts, PartStates, Poses
from parsing.vocabulary import Vocabulary

MATCH_IOU = 0.5


class Recordings:
    """Parses of frames by the name of their video and their index.

    Args:
        path: a parse.json, a folder of them, a folder with the ground truth of Kinetics-TPS in either form, or a COCO
            person_keypoints file, whose images count as videos of one frame.

    Raises:
        InputError: the path holds none of these.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames: dict[tuple[str, int], FrameParse] = {}
        self.scores: dict[str, list[TimedScores]] = {}  # of videos
        self.keypoints: dict[tuple[str, int], Array] = {}  # (N, 17, 3) of the same persons; annotated images alone have them
        self.vocabulary = pose_vocabulary(())
        if path.is_file() and _is_coco(path):
            self.vocabulary = read_part_vocabulary(path, "coco", (), None) or self.vocabulary
            for record in read_coco(path, default_images(path)):
                self.frames[record.path.name, 0] = _parse_of(record, self.vocabulary)
                self.keypoints[record.path.name, 0] = _keypoints_of(record)
            return
        if is_truth(path):
            truth = read_truth(path)
            self.vocabulary = truth_vocabulary(truth)
            self.frames = truth_frames(truth, self.vocabulary)
            self.scores = {video: [TimedScores(0.0, math.inf, {action: 1.0})] for video, action in truth.actions.items()}
            return
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise InputError(f"{path}: folder without a parse (*.json)")
        for file in files:
            parse = read_parse(file)
            words = parse.vocabulary
            if self.frames and (words.parts, words.states) != (self.vocabulary.parts, self.vocabulary.states):
                raise InputError(f"{file}: other parts or states than the parses before it in this folder")
            self.vocabulary = words
            self.scores[parse.facts.name] = _timed_scores(parse)
            self.frames.update({(parse.facts.name, frame.index): frame for frame in parse.frames})

    def __getitem__(self, frame: Frame) -> FrameParse:
        # The benchmark names videos without their suffixes.
        for video in (frame.video, Path(frame.video).stem):
            if (video, frame.index) in self.frames:
                return self.frames[video, frame.index]
        raise InputError(f"{self.path}: holds nothing for frame {frame.index} of {frame.video!r}")


@dataclass(frozen=True)
class TimedScores:
    """Scores of actions, by name, between two times in seconds."""

    start_s: float
    end_s: float
    scores: dict[str, float]


class RecordedPersons:
    """Person detector: the recorded persons, without their tracks."""

    def __init__(self, recordings: Recordings, facts: ModelFacts) -> None:
        self.recordings, self.facts = recordings, facts

    def __call__(self, frames: Sequence[Frame]) -> list[Detections]:
        found = [self.recordings[frame].persons for frame in frames]
        order = [np.argsort(-persons.scores, kind="stable") for persons in found]
        return [Detections(p.xyxy[o], p.scores[o], p.class_ids[o]) for p, o in zip(found, order, strict=True)]


class RecordedTracks:
    """Tracker: the recorded track of the person that overlaps most, -1 where none does."""

    def __init__(self, recordings: Recordings, facts: ModelFacts) -> None:
        self.recordings, self.facts = recordings, facts

    def __call__(self, items: Iterable[Item], *, waits: bool = True) -> Iterator[Item]:  # noqa: ARG002  # it never waits
        for frame, parse in items:
            yield frame, None if parse is None else replace(parse, persons=self._tracked(frame, parse.persons))

    def _tracked(self, frame: Frame, persons: Detections) -> Detections:
        recorded = self.recordings[frame].persons
        rows, others = match_boxes(persons.xyxy, recorded.xyxy)
        track_ids = np.full(len(persons), -1)
        if recorded.track_ids is not None:
            track_ids[rows] = recorded.track_ids[others]
        return replace(persons, track_ids=track_ids)


class RecordedParts:
    """Part detector: the recorded parts of the person that overlaps most, none where none does."""

    def __init__(self, recordings: Recordings, facts: ModelFacts) -> None:
        self.recordings, self.facts = recordings, facts
        self.part_names, self.swap = recordings.vocabulary.parts, recordings.vocabulary.swap

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Parts]:
        return [self._of_frame(self.recordings[frame], found) for frame, found in zip(frames, persons, strict=True)]

    def _of_frame(self, recorded: FrameParse, persons: Detections) -> Parts:
        rows, others = match_boxes(persons.xyxy, recorded.persons.xyxy)
        parts = Parts.empty(len(persons), len(self.part_names))
        parts.xyxy[rows], parts.scores[rows] = recorded.parts.xyxy[others], recorded.parts.scores[others]
        parts.visible[rows] = recorded.parts.visible[others]
        return parts


class RecordedPoses:
    """Pose estimator: the recorded keypoints of the person that overlaps most, scored 0 where none does."""

    def __init__(self, recordings: Recordings, facts: ModelFacts) -> None:
        self.recordings, self.facts = recordings, facts

    def __call__(self, frames: Sequence[Frame], persons: Sequence[Detections]) -> list[Poses]:
        result = []
        for frame, found in zip(frames, persons, strict=True):
            rows, others = match_boxes(found.xyxy, self.recordings[frame].persons.xyxy)
            keypoints = np.zeros((len(found), 17, 3), np.float32)
            keypoints[rows] = self.recordings.keypoints[frame.video, frame.index][others]
            result.append(Poses(keypoints))
        return result


class RecordedStates:
    """Part states: the recorded ones of the person that overlaps most, none where none does."""

    def __init__(self, recordings: Recordings, facts: ModelFacts, actions: tuple[str, ...]) -> None:
        self.recordings, self.facts = recordings, facts
        self.vocabulary = replace(recordings.vocabulary, actions=actions or recordings.vocabulary.actions)

    def __call__(
        self,
        frames: Sequence[Frame],
        persons: Sequence[Detections],
        parts: Sequence[Parts],  # noqa: ARG002  # of the protocol
        actions: Array | None,  # noqa: ARG002
    ) -> list[PartStates]:
        result = []
        for frame, found in zip(frames, persons, strict=True):
            recorded = self.recordings[frame]
            rows, others = match_boxes(found.xyxy, recorded.persons.xyxy)
            states = PartStates.empty(len(found), len(self.vocabulary.parts), len(self.vocabulary.states))
            states.scores[rows] = recorded.states.scores[others]
            result.append(states)
        return result


class RecordedActions:
    """Recognizer: recorded scores of the video that the frames belong to, of the window whose middle is nearest to theirs."""

    multi_label, background, least_frames = False, (), 1

    def __init__(self, path: Path, scores: Mapping[str, Sequence[TimedScores]], action_names: tuple[str, ...], facts: ModelFacts) -> None:
        self.path, self.scores, self.action_names, self.models = path, scores, action_names, (facts,)

    def indices(self, num_frames: int) -> Array:
        """The first and the last frame, for the name of their video and their times."""
        return np.unique([0, num_frames - 1])

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        name, middle_s = frames[0].video, (frames[0].time_s + frames[num_frames - 1].time_s) / 2
        video = name if name in self.scores else Path(name).stem
        if not self.scores.get(video):
            raise InputError(f"{self.path}: holds no action of {name!r}")
        found = min(self.scores[video], key=lambda scored: abs((scored.start_s + scored.end_s) / 2 - middle_s)).scores
        scores = np.array([found.get(name, 0.0) for name in self.action_names], np.float32)
        return ActionScores.of(scores, self.multi_label, self.models)


def _timed_scores(parse: VideoParse) -> list[TimedScores]:
    """Of the recognizers; the low-resolution branch has other actions."""
    windows = [window for window in parse.action_windows if window.branch == "recognizers"]
    names = parse.vocabulary.actions
    return [TimedScores(w.start_s, w.end_s, dict(zip(names, w.probabilities.tolist(), strict=True))) for w in windows]


def match_boxes(first: Array, second: Array) -> tuple[Array, Array]:
    """Rows of both that belong together, one to one: most overlap in sum, pairs below an IoU of 0.5 left out."""
    ious = box_ious(first, second)
    rows, columns = linear_sum_assignment(ious, maximize=True)
    good = ious[rows, columns] >= MATCH_IOU
    return rows[good], columns[good]


def _is_coco(path: Path) -> bool:
    try:
        value = read_json(path)
    except InputError:
        return False  # the reader of parses will say what is wrong
    return isinstance(value, dict) and "annotations" in value and "images" in value


def _single(record: ImageRecord) -> list[ObjectRecord]:
    return [person for person in record.persons if not person.crowd]


def _keypoints_of(record: ImageRecord) -> Array:
    """(N, 17, 3) with scores in [0, 1]; zeros for persons without keypoints."""
    found = np.zeros((len(_single(record)), 17, 3), np.float32)
    for i, person in enumerate(_single(record)):
        if person.best_keypoints is not None:
            found[i] = coco_keypoints(person.best_keypoints)
            found[i, :, 2] = found[i, :, 2].clip(0, 1)
    return found


def _parse_of(record: ImageRecord, vocabulary: Vocabulary) -> FrameParse:
    """Persons, parts and states of an annotated image; a part of which nothing is known is not visible."""
    people = _single(record)
    parts = Parts.empty(len(people), len(vocabulary.parts))
    states = PartStates.empty(len(people), *vocabulary.allowed.shape)
    for i, person in enumerate(people):
        boxes, visible, _ = true_parts(person, vocabulary.parts)
        parts.xyxy[i], parts.visible[i] = boxes, visible
        holds, known = true_states(person, vocabulary.parts, vocabulary.states)
        states.scores[i] = holds & known & visible[:, None]
    parts.xyxy[~parts.visible] = 0
    parts.scores[parts.visible] = 1
    boxes = np.array([person.xyxy for person in people], np.float32).reshape(-1, 4)
    return FrameParse(0, 0.0, Detections(boxes, np.ones(len(people)), np.zeros(len(people))), parts, states)

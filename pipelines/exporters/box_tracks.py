"""Boxes of a parse along time, as annotation tools hold them: a track for each person and each part, with sparse key frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from parsing.datasets.records import PERSON
from parsing.document import AnyParse
from parsing.intervals import HOLDS_FROM
from parsing.types import ActionScore, Array, FrameParse


@dataclass
class BoxTrack:
    """Where a person or a part is, in frames that rise.

    Args:
        group: number that a person and its parts share: the track's id, or above all of them for persons without one.
        track_id: None where the person was not followed.
        label: `person`, or the part.
        steps: place of each frame among those of the parse.
        holds: names that hold in each frame: states of a part, actions of a person.
    """

    group: int
    track_id: int | None
    label: str
    steps: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)
    holds: list[tuple[str, ...]] = field(default_factory=list)

    def runs(self) -> Iterator[range]:
        """Places of the boxes that follow each other without a frame of the parse between them."""
        ends = [i + 1 for i, (a, b) in enumerate(pairwise(self.steps)) if b != a + 1]
        for start, end in pairwise([0, *ends, len(self.steps)]):
            yield range(start, end)

    def keys(self, places: range, tolerance_px: float) -> list[int]:
        """The places of a run that boxes and names between follow from: boxes move evenly, names hold until the next key.

        Args:
            tolerance_px: how far a side may lie from where it moves.
        """
        changes = [i for i in places[1:] if self.holds[i] != self.holds[i - 1]]
        fixed = sorted({places[0], *changes, places[-1]})
        boxes, frames = np.stack([self.boxes[i] for i in places]).astype(float), np.array([self.frames[i] for i in places], float)
        found = {fixed[0]}
        for low, high in pairwise(fixed):
            found |= {places[0] + i for i in _between(boxes, frames, low - places[0], high - places[0], tolerance_px)} | {high}
        return sorted(found)


def _between(boxes: Array, frames: Array, low: int, high: int, tolerance_px: float) -> list[int]:
    """Keys needed between two others, after Douglas and Peucker."""
    needed, open_spans = [], [(low, high)]
    while open_spans:
        a, b = open_spans.pop()
        if b - a < 2:
            continue
        share = ((frames[a + 1 : b] - frames[a]) / (frames[b] - frames[a]))[:, None]
        errors = np.abs(boxes[a] + share * (boxes[b] - boxes[a]) - boxes[a + 1 : b]).max(1)
        if errors.max() > tolerance_px:
            middle = a + 1 + int(errors.argmax())
            needed.append(middle)
            open_spans += [(a, middle), (middle, b)]
    return needed


def box_tracks(parse: AnyParse, threshold: float = HOLDS_FROM, frames: Iterable[FrameParse] | None = None) -> list[BoxTrack]:
    """The tracks of persons, each before those of its parts; a person without a track gets one of a single frame.

    Args:
        threshold: score from which a state holds.
        frames: those of the parse that count; None for all.
    """
    found: dict[tuple[int, str], BoxTrack] = {}
    lonely: list[tuple[int, FrameParse, int]] = []
    for step, frame in enumerate(parse.frames if frames is None else frames):
        ids = np.full(len(frame.persons), -1) if frame.persons.track_ids is None else frame.persons.track_ids
        for row, track_id in enumerate(ids.tolist()):
            if track_id < 0:
                lonely.append((step, frame, row))
            else:
                _add(found, parse, step, frame, row, track_id, threshold)
    next_group = 1 + max((group for group, _ in found), default=0)
    for group, (step, frame, row) in enumerate(lonely, next_group):
        _add(found, parse, step, frame, row, None, threshold, group)
    order = {PERSON: -1} | {name: p for p, name in enumerate(parse.vocabulary.parts)}
    return sorted(found.values(), key=lambda track: (track.group, order[track.label]))


def _add(
    found: dict[tuple[int, str], BoxTrack], parse: AnyParse, step: int, frame: FrameParse, row: int, track_id: int | None,
    threshold: float, group: int | None = None,
) -> None:  # fmt: skip
    words = parse.vocabulary
    group = track_id if group is None else group
    assert group is not None
    actions = () if track_id is None else parse.track_actions.get(track_id, ())
    seen = [(PERSON, frame.persons.xyxy[row], actions_at(actions, frame.time_s))]
    for p in np.flatnonzero(frame.parts.visible[row]).tolist():
        held = tuple(words.states[s] for s in np.flatnonzero(frame.states.scores[row, p] >= threshold).tolist())
        seen.append((words.parts[p], frame.parts.xyxy[row, p], held))
    for label, box, holds in seen:
        track = found.setdefault((group, label), BoxTrack(group, track_id, label))
        track.steps.append(step)
        track.frames.append(frame.index)
        track.times_s.append(frame.time_s)
        track.boxes.append(box)
        track.holds.append(holds)


def actions_at(actions: Sequence[ActionScore], time_s: float) -> tuple[str, ...]:
    """The actions that hold at a time, best first."""
    held = [action for action in actions if action.start_s <= time_s <= action.end_s]
    return tuple(dict.fromkeys(action.label for action in sorted(held, key=lambda action: -action.score)))

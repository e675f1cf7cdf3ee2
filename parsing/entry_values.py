"""Entries of parse.json from values, and values from entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from parsing.entries import ActionEntry, ActionWindowEntry, Box, FrameEntry, ParseDocument
from parsing.types import (
    ActionScore,
    ActionWindow,
    Array,
    Detections,
    FrameParse,
    Parts,
    PartStates,
)
from parsing.vocabulary import Vocabulary

SHOWN_STATE, SHOWN_ACTION = 0.05, 0.0005  # states, and actions of a window, below these scores are not written


def frame_json(parse: FrameParse, vocabulary: Vocabulary) -> dict[str, Any]:
    """One frame in the form of `FrameEntry`: 0.1 px, scores to four digits, states from 0.05 on, best first."""
    persons = []
    ids = parse.persons.track_ids
    for row, (box, score) in enumerate(zip(parse.persons.xyxy, parse.persons.scores, strict=True)):
        track_id = int(ids[row]) if ids is not None and ids[row] >= 0 else None
        parts = {name: _part_json(parse, row, p, vocabulary) for p, name in enumerate(vocabulary.parts)}
        persons.append({"track_id": track_id, "box": _box(box), "score": _score(score), "parts": parts})
    return {"index": parse.index, "time_s": round(parse.time_s, 6), "key": parse.key, "persons": persons}


def _part_json(parse: FrameParse, row: int, part: int, vocabulary: Vocabulary) -> dict[str, Any]:
    visible = bool(parse.parts.visible[row, part])
    scores = parse.states.scores[row, part]
    shown = [s for s in np.argsort(-scores, kind="stable") if scores[s] >= SHOWN_STATE]
    return {
        "box": _box(parse.parts.xyxy[row, part]) if visible else None,
        "score": _score(parse.parts.scores[row, part]),
        "visible": visible,
        "states": [{"label": vocabulary.states[s], "score": _score(scores[s])} for s in shown],
    }


def rounded(value: Any) -> dict[str, Any]:
    return {name: round(item, 6) if isinstance(item, float) else item for name, item in asdict(value).items()}


def _box(box: Array) -> list[float]:
    return [round(float(side), 1) for side in box]


def _score(score: Any) -> float:
    return round(float(score), 4)


def check_once(ids: Sequence[int], what: str) -> None:
    if len(set(ids)) < len(ids):
        raise ValueError(f"{what} {Counter(ids).most_common(1)[0][0]} stands twice")


def check_persons(frame: FrameEntry) -> None:
    """Raises ValueError where a track stands twice in a frame."""
    check_once([person.track_id for person in frame.persons if person.track_id is not None], f"frames: index {frame.index}: track_id")


def _position(names: Sequence[str], name: str, where: str) -> int:
    if name not in names:
        raise ValueError(f"{where}: {name!r:.80} is not in the vocabulary")
    return names.index(name)


def frame_of(entry: FrameEntry, vocabulary: Vocabulary) -> FrameParse:
    n, p, s = len(entry.persons), len(vocabulary.parts), len(vocabulary.states)
    track_ids = np.array([-1 if person.track_id is None else person.track_id for person in entry.persons], np.int64)
    persons = Detections(_boxes([person.box for person in entry.persons]), [x.score for x in entry.persons], np.zeros(n), track_ids)  # type: ignore[arg-type]
    boxes, scores, visible = np.zeros((n, p, 4)), np.zeros((n, p)), np.zeros((n, p), bool)
    states = np.zeros((n, p, s))
    for i, person in enumerate(entry.persons):
        for name, part in person.parts.items():
            j = _position(vocabulary.parts, name, f"frames: index {entry.index}: parts")
            boxes[i, j], scores[i, j], visible[i, j] = part.box or (0, 0, 0, 0), part.score, part.visible
            for state in part.states:
                states[i, j, _position(vocabulary.states, state.label, f"frames: index {entry.index}: {name}: states")] = state.score
    return FrameParse(entry.index, entry.time_s, persons, Parts(boxes, scores, visible), PartStates(states), entry.key)


def actions_of(entries: Iterable[ActionEntry]) -> tuple[ActionScore, ...]:
    return tuple(ActionScore(**asdict(entry)) for entry in entries)


def actions_over_time(document: ParseDocument, vocabulary: Vocabulary) -> tuple[tuple[ActionScore, ...], tuple[ActionWindow, ...]]:
    """The actions that hold, and the scores of all. Before version 1.2 the recognizers' actions were all of one window."""
    actions = actions_of(document.actions)
    if document.schema_version not in ("1.0", "1.1"):
        return actions, tuple(_window(entry, vocabulary) for entry in document.action_windows)
    scored = [action for action in actions if action.branch == "recognizers"]
    if not scored:
        return actions, ()
    entry = ActionWindowEntry(scored[0].start_s, scored[0].end_s, "recognizers", {action.label: action.score for action in scored})
    return (max(scored, key=lambda action: action.score),), (_window(entry, vocabulary),)


def _window(entry: ActionWindowEntry, vocabulary: Vocabulary) -> ActionWindow:
    names = vocabulary.actions_of(entry.branch)
    probabilities = np.zeros(len(names))
    for name, score in entry.scores.items():
        if name not in names:
            raise ValueError(f"action_windows: {name!r:.60} is no action of the {entry.branch}")
        probabilities[names.index(name)] = score
    return ActionWindow(entry.start_s, entry.end_s, probabilities, entry.branch)


def window_json(window: ActionWindow, names: Sequence[str]) -> dict[str, Any]:
    order = np.argsort(-window.probabilities, kind="stable")
    scores = {names[i]: round(float(window.probabilities[i]), 6) for i in order if window.probabilities[i] >= SHOWN_ACTION}
    times = {"start_s": round(window.start_s, 6), "end_s": round(window.end_s, 6)}
    return times | {"branch": window.branch, "scores": scores}


def _boxes(boxes: Iterable[Box]) -> Array:
    return np.array(list(boxes), np.float32).reshape(-1, 4)

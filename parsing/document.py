"""parse.json: what a parse is on disk, its JSON Schema, a streaming writer and a reader.

`python -m parsing.document` prints the schema that ships as `parsing/parse.schema.json`.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pydantic

from parsing.configs import parse_config
from parsing.entries import SCHEMA_VERSION, ActionEntry, ActionWindowEntry, Box, FrameEntry, ParseDocument, TrackEntry
from parsing.errors import InputError
from parsing.files import atomic
from parsing.json_files import read_json
from parsing.memory import memory_budget
from parsing.types import (
    ActionScore,
    ActionWindow,
    Array,
    BranchFacts,
    Completeness,
    Detections,
    FrameParse,
    ModelFacts,
    Parts,
    PartStates,
    VideoFacts,
)
from parsing.vocabulary import Vocabulary

SHOWN_STATE, SHOWN_ACTION = 0.05, 0.0005  # states, and actions of a window, below these scores are not written


@dataclass(frozen=True, eq=False)
class VideoParse:
    """The parse of one video in memory: the actions that hold over time, `track_actions` by track; `action_windows` have all scores."""

    facts: VideoFacts
    vocabulary: Vocabulary
    actions: tuple[ActionScore, ...]
    frames: tuple[FrameParse, ...]
    models: tuple[ModelFacts, ...]
    complete: Completeness
    track_actions: Mapping[int, Sequence[ActionScore]] = field(default_factory=dict)
    branch: BranchFacts | None = None
    action_windows: tuple[ActionWindow, ...] = ()

    @property
    def mean_action_scores(self) -> dict[str, float]:
        """Scores of the vocabulary's actions, the mean over the windows; empty where the recognizers scored none."""
        scored = [window.probabilities for window in self.action_windows if window.branch == "recognizers"]
        return dict(zip(self.vocabulary.actions, np.mean(scored, 0).tolist(), strict=True)) if scored else {}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of parse.json."""
    schema = pydantic.TypeAdapter(ParseDocument).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Partwise parse"}


class ParseWriter:
    """Writes a parse frame by frame, in memory that does not grow with the video.

    The file appears whole when the block ends after `finish`, and not at all otherwise. What is known last, the
    actions, the tracks and the facts of the decoded video, stands at the end of the object.
    """

    def __init__(self, path: Path, vocabulary: Vocabulary) -> None:
        self.path, self.vocabulary = path, vocabulary
        self.tracks: dict[int, TrackEntry] = {}
        self._stack = ExitStack()
        self._num_frames = 0

    @property
    def num_tracks(self) -> int:
        return len(self.tracks)

    def __enter__(self) -> ParseWriter:
        temporary = self._stack.enter_context(atomic(self.path))
        self._file: IO[str] = self._stack.enter_context(temporary.open("w", encoding="utf-8"))
        head = {"schema_version": SCHEMA_VERSION, "vocabulary": self.vocabulary.to_json()}
        self._file.write(_dumps(head)[:-1] + ',\n"frames": [')
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.__exit__(*failure)  # type: ignore[arg-type]

    def add(self, parse: FrameParse) -> None:
        """Append the next frame."""
        self._file.write((",\n" if self._num_frames else "\n") + _dumps(frame_json(parse, self.vocabulary)))
        self._num_frames += 1
        for track_id in () if parse.persons.track_ids is None else parse.persons.track_ids.tolist():
            if track_id >= 0:
                self.tracks[track_id] = _seen(self.tracks.get(track_id), track_id, parse)

    def finish(self, parse: VideoParse) -> None:
        """Close the object with all but the frames of a parse; the last call before the block ends."""
        tracks = [
            _rounded(track) | {"actions": [_rounded(action) for action in parse.track_actions.get(track_id, ())]}
            for track_id, track in sorted(self.tracks.items())
        ]
        tail = {
            "tracks": tracks,
            "branch": None if parse.branch is None else asdict(parse.branch),
            "actions": [_rounded(action) for action in parse.actions],
            "action_windows": [_window_json(window, parse.vocabulary.actions_of(window.branch)) for window in parse.action_windows],
            "models": [asdict(model) for model in parse.models],
            "video": _rounded(parse.facts),
            "complete": parse.complete,
        }
        self._file.write("\n],\n" + _dumps(tail)[1:] + "\n")


def write_parse(parse: VideoParse, path: Path) -> None:
    """Write a parse that is in memory."""
    with ParseWriter(path, parse.vocabulary) as writer:
        for frame in parse.frames:
            writer.add(frame)
        writer.finish(parse)


def read_parse(path: Path) -> VideoParse:
    """Read a parse.json; scores and boxes are as rounded there, states that were not written score 0.

    Raises:
        InputError: the file is missing, no JSON, does not fit the schema, holds a frame or track twice, or would
            not fit into half of the free memory; names the first problem.
    """
    document = parse_config(ParseDocument, read_json(path), f"{path}: not a parse")
    try:
        _check_consistent(document)
        vocabulary = Vocabulary.from_json(asdict(document.vocabulary))
        frames = tuple(_frame(entry, vocabulary) for entry in document.frames)
        actions, windows = _actions_over_time(document, vocabulary)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a parse: {error}") from None
    models = tuple(ModelFacts(**asdict(model)) for model in document.models)
    of_tracks = {track.track_id: _actions(track.actions) for track in document.tracks if track.actions}
    facts = VideoFacts(**asdict(document.video))
    branch = None if document.branch is None else BranchFacts(**asdict(document.branch))
    return VideoParse(facts, vocabulary, actions, frames, models, document.complete, of_tracks, branch, windows)


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


def _check_consistent(document: ParseDocument) -> None:
    """What a schema cannot say; raises ValueError."""
    for before, frame in itertools.pairwise(document.frames):
        if frame.index <= before.index:
            raise ValueError(f"frames: index {frame.index} after {before.index}, expected rising ones")
    for frame in document.frames:
        _check_once([person.track_id for person in frame.persons if person.track_id is not None], f"frames: index {frame.index}: track_id")
    _check_once([track.track_id for track in document.tracks], "tracks: track_id")
    words = document.vocabulary
    scores = sum(len(frame.persons) for frame in document.frames) * len(words.parts) * len(words.states)
    scores += len(document.action_windows) * max(len(words.actions), len(words.low_res_actions))
    if scores * 8 > memory_budget():
        raise ValueError(f"its {scores:,} scores do not fit into half of the free memory")


def _check_once(ids: Sequence[int], what: str) -> None:
    if len(set(ids)) < len(ids):
        raise ValueError(f"{what} {Counter(ids).most_common(1)[0][0]} stands twice")


def _position(names: Sequence[str], name: str, where: str) -> int:
    if name not in names:
        raise ValueError(f"{where}: {name!r:.80} is not in the vocabulary")
    return names.index(name)


def _frame(entry: FrameEntry, vocabulary: Vocabulary) -> FrameParse:
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


def _actions(entries: Iterable[ActionEntry]) -> tuple[ActionScore, ...]:
    return tuple(ActionScore(**asdict(entry)) for entry in entries)


def _actions_over_time(document: ParseDocument, vocabulary: Vocabulary) -> tuple[tuple[ActionScore, ...], tuple[ActionWindow, ...]]:
    """The actions that hold, and the scores of all. Before version 1.2 the recognizers' actions were all of one window."""
    actions = _actions(document.actions)
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


def _window_json(window: ActionWindow, names: Sequence[str]) -> dict[str, Any]:
    order = np.argsort(-window.probabilities, kind="stable")
    scores = {names[i]: round(float(window.probabilities[i]), 6) for i in order if window.probabilities[i] >= SHOWN_ACTION}
    times = {"start_s": round(window.start_s, 6), "end_s": round(window.end_s, 6)}
    return times | {"branch": window.branch, "scores": scores}


def _boxes(boxes: Iterable[Box]) -> Array:
    return np.array(list(boxes), np.float32).reshape(-1, 4)


def _seen(track: TrackEntry | None, track_id: int, parse: FrameParse) -> TrackEntry:
    if track is None:
        return TrackEntry(track_id, parse.time_s, parse.time_s, parse.index, parse.index, 1)
    return TrackEntry(track_id, track.start_s, parse.time_s, track.first_frame, parse.index, track.num_frames + 1)


def _rounded(value: Any) -> dict[str, Any]:
    return {name: round(item, 6) if isinstance(item, float) else item for name, item in asdict(value).items()}


def _box(box: Array) -> list[float]:
    return [round(float(side), 1) for side in box]


def _score(score: Any) -> float:
    return round(float(score), 4)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))

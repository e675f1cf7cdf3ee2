"""parse.json: what a parse is on disk, its JSON Schema, a streaming writer and a reader.

`python -m parsing.document` prints the schema that ships as `parsing/parse.schema.json`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
import pydantic

from parsing.configs import parse_config
from parsing.entries import SCHEMA_VERSION, ParseDocument
from parsing.entry_values import actions_of, actions_over_time, check_once, check_persons, frame_json, frame_of, rounded, window_json
from parsing.errors import InputError
from parsing.files import atomic
from parsing.intervals import HOLDS_FROM, StateInterval, TrackSpan, see, state_intervals
from parsing.json_files import read_json
from parsing.memory import memory_budget
from parsing.tables import TableName, frame_s, table_of
from parsing.types import ActionScore, ActionWindow, BranchFacts, Completeness, FrameParse, ModelFacts, VideoFacts
from parsing.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa


class AnyParse(Protocol):
    """A parse whose frames are in memory, or are read anew each time that they are asked for."""

    @property
    def facts(self) -> VideoFacts: ...
    @property
    def vocabulary(self) -> Vocabulary: ...
    @property
    def actions(self) -> Sequence[ActionScore]: ...
    @property
    def frames(self) -> Iterable[FrameParse]: ...
    @property
    def models(self) -> Sequence[ModelFacts]: ...
    @property
    def complete(self) -> Completeness: ...
    @property
    def track_actions(self) -> Mapping[int, Sequence[ActionScore]]: ...
    @property
    def branch(self) -> BranchFacts | None: ...
    @property
    def action_windows(self) -> Sequence[ActionWindow]: ...


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

    def to_table(self, name: TableName = "parts") -> pa.Table:
        """A table of Arrow, see `parsing.tables`: `parts`, `tracks`, `state_intervals`, `actions` or `videos`."""
        return table_of(self, name)

    def state_intervals(self, threshold: float = HOLDS_FROM) -> list[StateInterval]:
        """Which state of which part of which track holds from when to when, in order of time."""
        found = state_intervals(self.frames, self.vocabulary, frame_s(self.facts), threshold)
        return sorted(found, key=lambda one: (one.start_s, one.track_id))

    def to_json(self) -> dict[str, Any]:
        """The object of parse.json."""
        tracks: dict[int, TrackSpan] = {}
        for frame in self.frames:
            see(tracks, frame)
        return _head(self.vocabulary) | {"frames": [frame_json(frame, self.vocabulary) for frame in self.frames]} | _tail(self, tracks)

    def save(self, path: str | Path) -> None:
        """Write parse.json, whole or not at all; a file of this name is replaced."""
        write_parse(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> VideoParse:
        """Read a parse.json, see `read_parse`."""
        return read_parse(Path(path))


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
        self.tracks: dict[int, TrackSpan] = {}
        self._stack = ExitStack()
        self._num_frames = 0

    @property
    def num_tracks(self) -> int:
        return len(self.tracks)

    def __enter__(self) -> ParseWriter:
        temporary = self._stack.enter_context(atomic(self.path))
        self._file: IO[str] = self._stack.enter_context(temporary.open("w", encoding="utf-8"))
        self._file.write(_dumps(_head(self.vocabulary))[:-1] + ',\n"frames": [')
        return self

    def __exit__(self, *failure: object) -> None:
        self._stack.__exit__(*failure)  # type: ignore[arg-type]

    def add(self, parse: FrameParse) -> None:
        """Append the next frame."""
        self._file.write((",\n" if self._num_frames else "\n") + _dumps(frame_json(parse, self.vocabulary)))
        self._num_frames += 1
        see(self.tracks, parse)

    def finish(self, parse: VideoParse) -> None:
        """Close the object with all but the frames of a parse; the last call before the block ends."""
        self._file.write("\n],\n" + _dumps(_tail(parse, self.tracks))[1:] + "\n")


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
    return parse_of(parse_config(ParseDocument, read_json(path), f"{path}: not a parse"), path)


def parse_of(document: ParseDocument, path: Path) -> VideoParse:
    """What a document says.

    Raises:
        InputError: as `read_parse`, but for the schema.
    """
    try:
        _check_consistent(document)
        vocabulary = Vocabulary.from_json(asdict(document.vocabulary))
        frames = tuple(frame_of(entry, vocabulary) for entry in document.frames)
        actions, windows = actions_over_time(document, vocabulary)
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: not a parse: {error}") from None
    models = tuple(ModelFacts(**asdict(model)) for model in document.models)
    of_tracks = {track.track_id: actions_of(track.actions) for track in document.tracks if track.actions}
    facts = VideoFacts(**asdict(document.video))
    branch = None if document.branch is None else BranchFacts(**asdict(document.branch))
    return VideoParse(facts, vocabulary, actions, frames, models, document.complete, of_tracks, branch, windows)


def _check_consistent(document: ParseDocument) -> None:
    """What a schema cannot say; raises ValueError."""
    for before, frame in itertools.pairwise(document.frames):
        if frame.index <= before.index:
            raise ValueError(f"frames: index {frame.index} after {before.index}, expected rising ones")
    for frame in document.frames:
        check_persons(frame)
    check_once([track.track_id for track in document.tracks], "tracks: track_id")
    words = document.vocabulary
    scores = sum(len(frame.persons) for frame in document.frames) * len(words.parts) * len(words.states)
    scores += len(document.action_windows) * max(len(words.actions), len(words.low_res_actions))
    if scores * 8 > memory_budget():
        raise ValueError(f"its {scores:,} scores do not fit into half of the free memory")


def _head(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "vocabulary": vocabulary.to_json()}


def _tail(parse: AnyParse, tracks: Mapping[int, TrackSpan]) -> dict[str, Any]:
    """All that stands behind the frames."""
    return {
        "tracks": [
            rounded(track) | {"actions": [rounded(action) for action in parse.track_actions.get(track_id, ())]}
            for track_id, track in sorted(tracks.items())
        ],
        "branch": None if parse.branch is None else asdict(parse.branch),
        "actions": [rounded(action) for action in parse.actions],
        "action_windows": [window_json(window, parse.vocabulary.actions_of(window.branch)) for window in parse.action_windows],
        "models": [asdict(model) for model in parse.models],
        "video": rounded(parse.facts),
        "complete": parse.complete,
    }


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))

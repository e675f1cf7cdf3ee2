"""parse.json and its form as JSON lines: the JSON Schema, and a reader; `parsing.writing` has the writers.

`python -m parsing.document` prints the schema that ships as `parsing/parse.schema.json`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pydantic

from parsing.configs import parse_config
from parsing.entries import ParseDocument
from parsing.entry_values import actions_of, actions_over_time, check_once, check_persons, frame_json, frame_of
from parsing.errors import InputError
from parsing.intervals import HOLDS_FROM, StateInterval, TrackSpan, see, state_intervals
from parsing.json_files import read_json, read_json_lines
from parsing.memory import memory_budget
from parsing.tables import TableName, frame_s, table_of
from parsing.types import ActionScore, ActionWindow, BranchFacts, Completeness, FrameParse, ModelFacts, VideoFacts
from parsing.vocabulary import Vocabulary
from parsing.writing import head_json, summary_json, write_parse

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
        return (
            head_json(self.vocabulary)
            | {"frames": [frame_json(frame, self.vocabulary) for frame in self.frames]}
            | summary_json(self, tracks)
        )

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


def read_parse(path: Path) -> VideoParse:
    """Read a parse.json or .jsonl; scores and boxes are as rounded there, states that were not written score 0.

    JSON lines without a summary, of a run that was killed, have their frames and no more; `complete` is then False.

    Raises:
        InputError: the file is missing, no JSON, does not fit the schema, holds a frame or track twice, or would
            not fit into half of the free memory; names the first problem.
    """
    found = joined_lines(path) if path.suffix == ".jsonl" else read_json(path)
    return parse_of(parse_config(ParseDocument, found, f"{path}: not a parse"), path)


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


def joined_lines(path: Path) -> dict[str, Any]:
    """The one object that JSON lines stand for: a header, a line a frame, and a summary.

    Raises:
        InputError: the file cannot be read, is no such file, or a line is no JSON; the last one may be cut off.
    """
    lines = read_json_lines(path, may_be_cut=True)
    if not lines or not all(isinstance(line, dict) for line in lines) or "vocabulary" not in lines[0]:
        raise InputError(f"{path}: not a parse: expected a line with the header, one a frame, and one with the summary")
    header: dict[str, Any] = lines[0]
    frames, unfinished = lines[1:], {"actions": [], "tracks": [], "complete": False}
    summary = frames.pop() if frames and "complete" in frames[-1] else unfinished
    return header | summary | {"frames": frames}


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


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))

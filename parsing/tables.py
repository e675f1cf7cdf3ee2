"""Parses as tables of Arrow: parts, tracks, state intervals, actions and videos, each row with the name of its video.

- `parts`, a part of a person in a frame: frame, time_s, key, person, track_id, x1, y1, x2, y2, score, part, part_x1, part_y1,
  part_x2, part_y2, part_score, visible, and a column `state_NAME` of scores for each state;
- `tracks`: track_id, start_s, end_s, first_frame, last_frame, num_frames;
- `state_intervals`, a state that holds for a while: track_id, part, state, start_s, end_s, first_frame, last_frame, num_frames,
  mean_score;
- `actions`, those that hold for a while: track_id (null: of the whole video), label, score, start_s, end_s, branch;
- `videos`: width, height, fps, duration_s, num_frames, complete.

`person` is the row of a person in its frame. The box of a part that is not visible is null, as are states that its part
cannot take, and the track of a person who was not followed. A frame without persons has no row among the parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from parsing.intervals import HOLDS_FROM, IntervalFinder
from parsing.types import FrameParse, VideoFacts
from parsing.vocabulary import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

    from parsing.document import AnyParse

TableName = Literal["parts", "tracks", "state_intervals", "actions", "videos"]
TABLES: tuple[TableName, ...] = get_args(TableName)
FRAMES_AT_ONCE = 256  # that are a batch of rows
_SIDES = ("x1", "y1", "x2", "y2")
_TYPES = {
    "tracks": "track_id:int64 start_s:float64 end_s:float64 first_frame:int64 last_frame:int64 num_frames:int64",
    "state_intervals": "track_id:int64 part:string state:string start_s:float64 end_s:float64 first_frame:int64 last_frame:int64 "
    "num_frames:int64 mean_score:float64",
    "actions": "track_id:int64 label:string score:float64 start_s:float64 end_s:float64 branch:string",
    "videos": "width:int64 height:int64 fps:float64 duration_s:float64 num_frames:int64 complete:string",
}


def table_schema(name: TableName, vocabulary: Vocabulary) -> pa.Schema:
    """The columns of a table; those of `parts` follow from the states of a vocabulary."""
    import pyarrow as pa  # late: most commands make no table

    types = _TYPES[name] if name in _TYPES else _part_types(vocabulary)
    columns = [column.rpartition(":") for column in ("video:string " + types).split(" ")]
    return pa.schema([(column, pa.type_for_alias(kind)) for column, _, kind in columns])


def table_of(parse: AnyParse, name: TableName = "parts", threshold: float = HOLDS_FROM) -> pa.Table:
    """One table of a parse, which pandas (`.to_pandas()`), polars (`polars.from_arrow`) and DuckDB read.

    Args:
        threshold: score from which a state holds, of `state_intervals`.
    """
    import pyarrow as pa

    batches = [batch for table, batch in table_batches(parse, threshold) if table == name]
    return pa.Table.from_batches(batches, table_schema(name, parse.vocabulary))


def table_batches(parse: AnyParse, threshold: float = HOLDS_FROM) -> Iterator[tuple[TableName, pa.RecordBatch]]:
    """All tables of a parse in pieces, in one pass over its frames."""
    finder, words, video = IntervalFinder(parse.vocabulary, threshold), parse.vocabulary, parse.facts.name
    num_frames = 0
    for frames in _groups(parse.frames):
        num_frames += len(frames)
        yield "parts", _part_batch(frames, words, video)
        yield "state_intervals", _rows("state_intervals", [asdict(one) for frame in frames for one in finder.add(frame)], words, video)
    yield "state_intervals", _rows("state_intervals", [asdict(one) for one in finder.finish(frame_s(parse.facts))], words, video)
    yield "tracks", _rows("tracks", [asdict(track) for _, track in sorted(finder.tracks.items())], words, video)
    yield "actions", _rows("actions", _actions(parse), words, video)
    facts = {name: getattr(parse.facts, name) for name in ("width", "height", "fps", "duration_s")}
    complete = parse.complete if isinstance(parse.complete, str) else "yes" if parse.complete else "no"
    yield "videos", _rows("videos", [facts | {"num_frames": num_frames, "complete": complete}], words, video)


def frame_s(facts: VideoFacts) -> float:
    """How long a frame is shown, in seconds; 0 for pictures."""
    return 1 / facts.fps if facts.fps > 0 else 0.0


def _part_types(vocabulary: Vocabulary) -> str:
    person = "frame:int64 time_s:float64 key:bool person:int64 track_id:int64 x1:float32 y1:float32 x2:float32 y2:float32 score:float32"
    part = "part:string part_x1:float32 part_y1:float32 part_x2:float32 part_y2:float32 part_score:float32 visible:bool"
    return " ".join([person, part, *(f"state_{state}:float32" for state in vocabulary.states)])


def _groups(frames: Iterable[FrameParse]) -> Iterator[list[FrameParse]]:
    rest = iter(frames)
    while group := list(islice(rest, FRAMES_AT_ONCE)):
        yield group


def _rows(name: TableName, rows: Sequence[dict[str, Any]], vocabulary: Vocabulary, video: str) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist([{"video": video} | row for row in rows], table_schema(name, vocabulary))


def _actions(parse: AnyParse) -> list[dict[str, Any]]:
    of_video = [{"track_id": None} | asdict(action) for action in parse.actions]
    return of_video + [{"track_id": track} | asdict(one) for track, found in sorted(parse.track_actions.items()) for one in found]


def _part_batch(frames: Sequence[FrameParse], vocabulary: Vocabulary, video: str) -> pa.RecordBatch:
    import pyarrow as pa

    p = len(vocabulary.parts)
    counts = [len(frame.persons) for frame in frames]
    persons = {
        "frame": np.repeat([frame.index for frame in frames], counts),
        "time_s": np.repeat([frame.time_s for frame in frames], counts),
        "key": np.repeat([frame.key for frame in frames], counts),
        "person": np.concatenate([np.arange(count) for count in counts]),
        "score": np.concatenate([frame.persons.scores for frame in frames]),
    }
    boxes = np.concatenate([frame.persons.xyxy for frame in frames])
    persons |= {side: boxes[:, i] for i, side in enumerate(_SIDES)}
    ids = np.concatenate([np.full(len(f.persons), -1) if f.persons.track_ids is None else f.persons.track_ids for f in frames])
    visible = np.concatenate([frame.parts.visible for frame in frames]).ravel()
    part_boxes = np.concatenate([frame.parts.xyxy for frame in frames]).reshape(-1, 4)
    states = np.concatenate([frame.states.scores for frame in frames]).reshape(-1, len(vocabulary.states))
    cannot = ~np.tile(vocabulary.allowed, (sum(counts), 1))
    columns = {name: pa.array(np.repeat(values, p)) for name, values in persons.items()}
    columns |= {"video": pa.array([video] * len(visible), pa.string()), "visible": pa.array(visible)}
    columns |= {"track_id": pa.array(np.repeat(ids, p), mask=np.repeat(ids < 0, p))}
    columns |= {"part": pa.array(list(vocabulary.parts) * sum(counts), pa.string())}
    columns |= {"part_score": pa.array(np.concatenate([frame.parts.scores for frame in frames]).ravel())}
    columns |= {f"part_{side}": pa.array(part_boxes[:, i], mask=~visible) for i, side in enumerate(_SIDES)}
    columns |= {f"state_{state}": pa.array(states[:, s], mask=cannot[:, s]) for s, state in enumerate(vocabulary.states)}
    schema = table_schema("parts", vocabulary)
    return pa.RecordBatch.from_arrays([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)

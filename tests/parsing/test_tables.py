"""Tables of a parse, read by the libraries that people read tables with."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from builders import VOCABULARY, frame_parse

from parsing.document import VideoParse
from parsing.intervals import StateInterval, state_intervals
from parsing.tables import TABLES, table_of
from parsing.types import ActionScore, FrameParse, PartStates, VideoFacts

FACTS = VideoFacts("a.mp4", 320, 240, 0, 10.0, 0.4, 4, 4, 0)
BOX = [10, 20, 60, 120]
ARM, RAISE, BEND = VOCABULARY.parts.index("left_arm"), VOCABULARY.states.index("raise"), VOCABULARY.states.index("bend")


def with_states(frame: FrameParse, *scores: dict[int, float]) -> FrameParse:
    """The states of the left arm of each person by number, all others 0."""
    states = np.zeros(frame.states.scores.shape, np.float32)
    for row, given in enumerate(scores):
        for state, score in given.items():
            states[row, ARM, state] = score
    return replace(frame, states=PartStates(states))


def parse_of(*frames: FrameParse) -> VideoParse:
    actions = (ActionScore("walk", 0.75, 0.0, 0.4),)
    return VideoParse(FACTS, VOCABULARY, actions, frames, (), True, {1: (ActionScore("run", 0.5, 0.0, 0.3),)})


FRAMES = (
    with_states(frame_parse(0, [BOX, BOX], [1, -1]), {RAISE: 0.5}, {RAISE: 1.0}),
    with_states(frame_parse(1, [BOX], [1]), {RAISE: 1.0, BEND: 0.75}),
    with_states(frame_parse(2, [BOX, BOX], [2, 1]), {BEND: 1.0}, {RAISE: 0.25, BEND: 0.25}),
    with_states(frame_parse(3, [BOX], [1]), {RAISE: 0.875}),
)


def test_intervals_by_hand() -> None:
    found = list(state_intervals(FRAMES, VOCABULARY, 0.1))
    assert found == [
        StateInterval(1, "left_arm", "raise", 0.0, 0.2, 0, 1, 2, 0.75),
        StateInterval(1, "left_arm", "bend", 0.1, 0.2, 1, 1, 1, 0.75),
        StateInterval(2, "left_arm", "bend", 0.2, 0.3, 2, 2, 1, 1.0),
        StateInterval(1, "left_arm", "raise", 0.3, pytest.approx(0.4), 3, 3, 1, 0.875),  # type: ignore[arg-type]
    ]
    assert [one.state for one in parse_of(*FRAMES).state_intervals(0.9)] == ["raise", "bend"]
    assert list(state_intervals((), VOCABULARY, 0.1)) == []


def test_a_track_that_is_away_ends_its_intervals() -> None:
    frames = (FRAMES[0], frame_parse(1, []), replace(FRAMES[1], index=2, time_s=0.2))
    raised = [one for one in state_intervals(frames, VOCABULARY, 0.1) if one.state == "raise"]
    assert [(one.start_s, one.end_s, one.first_frame, one.last_frame) for one in raised] == [
        (0.0, 0.1, 0, 0),
        (0.2, pytest.approx(0.3), 2, 2),
    ]


def test_tables_by_hand() -> None:
    parse = parse_of(*FRAMES)
    parts = parse.to_table().to_pylist()
    assert len(parts) == 6 * len(VOCABULARY.parts)
    arm = parts[ARM]
    assert (arm["video"], arm["frame"], arm["time_s"], arm["key"]) == ("a.mp4", 0, 0.0, True)
    assert (arm["person"], arm["track_id"], arm["part"], arm["x1"], arm["y2"], arm["visible"]) == (0, 1, "left_arm", 10.0, 120.0, True)
    assert (arm["state_raise"], arm["state_bend"], arm["state_lift"], arm["part_x1"], arm["part_score"]) == (0.5, 0.0, None, 10.0, 0.75)
    assert parts[len(VOCABULARY.parts)]["track_id"] is None
    hidden = parts[len(VOCABULARY.parts) - 1]
    assert (hidden["visible"], hidden["part_x1"], hidden["part_score"]) == (False, None, 0.0)
    assert parse.to_table("tracks").to_pylist() == [
        {"video": "a.mp4", "track_id": 1, "start_s": 0.0, "end_s": 0.3, "first_frame": 0, "last_frame": 3, "num_frames": 4},
        {"video": "a.mp4", "track_id": 2, "start_s": 0.2, "end_s": 0.2, "first_frame": 2, "last_frame": 2, "num_frames": 1},
    ]
    assert [row["state"] for row in parse.to_table("state_intervals").to_pylist()] == ["raise", "bend", "bend", "raise"]
    assert [(row["track_id"], row["label"]) for row in parse.to_table("actions").to_pylist()] == [(None, "walk"), (1, "run")]
    assert parse.to_table("videos").to_pylist()[0]["complete"] == "yes"


@pytest.mark.parametrize("frames", [(), (frame_parse(0, []), frame_parse(1, []))])
def test_a_parse_without_people_has_columns_and_no_rows(frames: tuple[FrameParse, ...]) -> None:
    for name in TABLES:
        table = table_of(parse_of(*frames), name)
        assert table.schema.names == table_of(parse_of(*FRAMES), name).schema.names
        assert len(table) == {"videos": 1, "actions": 2}.get(name, 0)


def test_pandas_polars_and_duckdb_read_them() -> None:
    pandas, polars, duckdb = (pytest.importorskip(name) for name in ("pandas", "polars", "duckdb"))
    parts: pa.Table = parse_of(*FRAMES).to_table()
    frame = parts.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    raised = frame[(frame["part"] == "left_arm") & (frame["state_raise"] >= 0.5)]
    assert raised["frame"].tolist() == [0, 0, 1, 3]
    assert polars.from_arrow(parts).filter(polars.col("state_raise") >= 0.5).height == 4
    query = "SELECT frame FROM parts WHERE part = 'left_arm' AND state_raise >= 0.5 ORDER BY frame"
    assert duckdb.sql(query).fetchall() == [(0,), (0,), (1,), (3,)]

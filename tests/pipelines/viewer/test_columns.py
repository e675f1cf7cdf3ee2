import base64
import zlib

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse

from parsing.intervals import StateInterval
from pipelines.viewer.columns import BoxColumns, IntervalColumns, SpanColumns, pack

PARTS = len(VOCABULARY.parts)


def interval(start_s: float, duration_s: float, track_id: int = 1) -> StateInterval:
    return StateInterval(track_id, "left_arm", "raise", start_s, start_s + duration_s, 0, 1, 2, 0.8)


def test_columns_are_packed_as_little_endian_bytes_that_begin_at_multiples_of_four() -> None:
    packed = pack({"a": np.array([1, 2, 3], np.uint8), "b": np.array([-1, 5], np.int16), "c": np.array([0.5], np.float32)})
    assert packed["layout"] == [["a", "uint8", 3], ["b", "int16", 2], ["c", "float32", 1]]
    data = zlib.decompress(base64.b64decode(packed["data"]))
    assert data == b"\1\2\3\0" + b"\xff\xff\5\0" + b"\0\0\0\x3f"


def test_nobody_gives_empty_columns() -> None:
    boxes = BoxColumns(PARTS)
    assert {name: len(column) for name, column in boxes.columns().items()} == {
        "times": 0, "first": 1, "track": 0, "box": 0, "part_box": 0, "score": 0, "part_score": 0,
    }  # fmt: skip
    boxes.add(frame_parse(0, []))
    assert boxes.columns()["first"].tolist() == [0, 0]
    assert len(IntervalColumns(VOCABULARY).columns()["i_start"]) == 0
    assert len(SpanColumns(10).columns()["s_start"]) == 0


def test_key_frames_alone_are_kept_as_whole_pixels_and_bytes() -> None:
    boxes = BoxColumns(PARTS)
    boxes.add(frame_parse(0, [[10.4, 20.6, 60, 120], [-50, 30, 99999, 90]], [3, -1]))
    boxes.add(frame_parse(1, [[0, 0, 1, 1]], key=False))
    columns = boxes.columns()
    assert columns["track"].tolist() == [3, -1]
    assert columns["box"].tolist() == [10, 21, 60, 120, -50, 30, 32767, 90]
    assert columns["score"].tolist() == [230, 128]
    seen = columns["part_score"].reshape(2, PARTS)
    assert (seen[:, :-1] == 191).all()
    assert not seen[:, -1].any()  # not visible


def test_of_too_many_boxes_every_second_frame_remains() -> None:
    boxes = BoxColumns(PARTS, most_rows=8)
    for i in range(20):
        boxes.add(frame_parse(i, [[0, 0, 9, 9]] * 2))
    assert boxes.step == 8
    assert boxes.columns()["times"].tolist() == pytest.approx([0.0, 0.8, 1.6])


def test_frames_without_persons_are_thinned_too() -> None:
    boxes = BoxColumns(PARTS, most_rows=8)
    for i in range(100):
        boxes.add(frame_parse(i, []))
    assert len(boxes.columns()["times"]) <= 8


def test_of_too_many_intervals_the_shortest_are_left_out_and_counted() -> None:
    columns = IntervalColumns(VOCABULARY, most=5)
    columns.add(interval(i, 0.1 * (1 + i % 10)) for i in range(40))
    kept = columns.columns()
    assert len(kept["i_start"]) == 5
    assert columns.num_left_out == 35
    assert (kept["i_end"] - kept["i_start"]).min() == pytest.approx(0.9, abs=0.11)
    assert kept["i_start"].tolist() == sorted(kept["i_start"].tolist())


def test_spans_break_where_a_track_is_lost() -> None:
    spans = SpanColumns(fps=10)
    for i, ids in enumerate(([1], [1, 2], [2], [1, -1])):
        spans.add(frame_parse(i, [[0, 0, 9, 9]] * len(ids), ids))
    columns = spans.columns()
    found = [tuple(round(float(v), 3) for v in row) for row in zip(columns["s_track"], columns["s_start"], columns["s_end"], strict=True)]
    assert found == [(1, 0.0, 0.2), (1, 0.3, 0.4), (2, 0.1, 0.3)]

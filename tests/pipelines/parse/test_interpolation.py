import numpy as np
import pytest
from builders import frame_parse

from pipelines.parse.interpolation import interpolate


def test_boxes_of_a_track_move_linearly_in_time() -> None:
    before = frame_parse(0, [[0, 0, 10, 20]], [4], time_s=0.0)
    after = frame_parse(3, [[30, 0, 40, 20]], [4], time_s=1.0, seed=1)
    early, late = interpolate(before, after, 1, 0.2), interpolate(before, after, 2, 0.9)
    assert early.persons.xyxy[0] == pytest.approx([6, 0, 16, 20])
    assert late.persons.xyxy[0] == pytest.approx([27, 0, 37, 20])
    assert early.parts.xyxy[0, 0] == pytest.approx([6, 0, 16, 20])
    assert not early.parts.xyxy[0, -1].any()  # not visible
    assert np.array_equal(early.states.scores, before.states.scores)
    assert np.array_equal(late.states.scores, after.states.scores)
    assert (early.index, early.time_s, early.key) == (1, 0.2, False)


def test_others_hold_still_until_half_way() -> None:
    before, after = frame_parse(0, [[0, 0, 10, 20], [50, 0, 60, 20]], [1, -1]), frame_parse(4, [[90, 0, 99, 20]], [2])
    assert interpolate(before, after, 1, 0.1).persons.xyxy.tolist() == before.persons.xyxy.tolist()
    assert interpolate(before, after, 3, 0.3).persons.xyxy.tolist() == after.persons.xyxy.tolist()


def test_untracked_persons_are_never_joined() -> None:
    before, after = frame_parse(0, [[0, 0, 10, 20]], [-1]), frame_parse(2, [[20, 0, 30, 20]], [-1])
    assert interpolate(before, after, 1, 0.09).persons.xyxy.tolist() == [[0, 0, 10, 20]]


def test_the_end_of_the_video_holds_the_last_key_frame() -> None:
    before = frame_parse(6, [[0, 0, 10, 20]], [1])
    held = interpolate(before, None, 8, 0.8)
    assert held.persons.xyxy.tolist() == before.persons.xyxy.tolist()
    assert not held.key


def test_equal_times_do_not_divide_by_zero() -> None:
    before, after = frame_parse(0, [[0, 0, 10, 20]], [1], time_s=1.0), frame_parse(2, [[9, 0, 19, 20]], [1], time_s=1.0)
    assert np.isfinite(interpolate(before, after, 1, 1.0).persons.xyxy).all()

import numpy as np
import pytest
from builders import VOCABULARY

from parsing.intervals import IntervalFinder, StateInterval, state_intervals
from parsing.types import Detections, FrameParse, Parts, PartStates

ARM, RAISE, BEND = VOCABULARY.parts.index("left_arm"), VOCABULARY.states.index("raise"), VOCABULARY.states.index("bend")


def scene(index: int, *arms: tuple[int, float, float]) -> FrameParse:
    """Persons as (track, score of raise, score of bend) of their left arm, at ten frames a second."""
    n, (p, s) = len(arms), VOCABULARY.allowed.shape
    states, seen = np.zeros((n, p, s)), np.zeros((n, p), bool)
    for row, (_, raised, bent) in enumerate(arms):
        states[row, ARM, RAISE], states[row, ARM, BEND], seen[row, ARM] = raised, bent, True
    boxes = np.tile(np.array([0.0, 0, 10, 20]), (n, 1))
    persons = Detections(boxes, np.full(n, 0.5), np.zeros(n), np.array([track for track, *_ in arms], int))
    return FrameParse(index, index / 10, persons, Parts(np.repeat(boxes[:, None], p, 1), seen * 0.5, seen), PartStates(states))


def spans(*frames: FrameParse) -> list[tuple[int, str, float, float, int]]:
    found = state_intervals(frames, VOCABULARY, frame_s=0.1)
    return [(one.track_id, one.state, round(one.start_s, 6), round(one.end_s, 6), one.num_frames) for one in found]


def test_nothing_has_no_intervals() -> None:
    assert spans() == []
    assert spans(scene(0), scene(1)) == []


def test_an_interval_ends_when_the_next_frame_is_shown() -> None:
    frames = [scene(i, (7, score, 0.0)) for i, score in enumerate((0.1, 0.5, 0.9, 0.4, 0.6))]
    (first, last) = state_intervals(frames, VOCABULARY, frame_s=0.1)
    assert first == StateInterval(7, "left_arm", "raise", 0.1, first.end_s, 1, 2, 2, pytest.approx(0.7))
    assert first.end_s == pytest.approx(0.3)
    assert (last.start_s, last.end_s, last.first_frame) == (0.4, pytest.approx(0.5), 4)


def test_states_of_one_part_hold_side_by_side() -> None:
    assert spans(scene(0, (1, 0.9, 0.9)), scene(1, (1, 0.9, 0.1))) == [(1, "bend", 0.0, 0.1, 1), (1, "raise", 0.0, 0.2, 2)]


def test_a_lost_track_breaks_them_and_no_track_has_none() -> None:
    assert spans(scene(0, (1, 0.9, 0)), scene(1), scene(2, (1, 0.9, 0))) == [(1, "raise", 0.0, 0.1, 1), (1, "raise", 0.2, 0.3, 1)]
    assert spans(scene(0, (-1, 0.9, 0))) == []


def test_tracks_are_summed_up() -> None:
    collector = IntervalFinder(VOCABULARY)
    for frame in (scene(0, (2, 0, 0), (-1, 0, 0)), scene(1), scene(5, (2, 0, 0), (1, 0, 0))):
        collector.add(frame)
    second, first = collector.tracks.values()
    assert (first.track_id, first.num_frames, first.start_s) == (1, 1, 0.5)
    assert (second.track_id, second.start_s, second.end_s, second.first_frame, second.last_frame, second.num_frames) == (
        2,
        0.0,
        0.5,
        0,
        5,
        2,
    )


def test_a_video_without_a_rate_ends_with_its_last_frame() -> None:
    (one,) = state_intervals([scene(3, (1, 0.9, 0))], VOCABULARY, frame_s=0)
    assert one.end_s == one.start_s

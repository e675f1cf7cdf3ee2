import numpy as np
from builders import frame

from detectors.trackers import ByteTrack, ByteTrackConfig
from parsing.types import Detections


def found(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] | None = None) -> Detections:
    n = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), np.array(scores or [0.9] * n), np.zeros(n))


def track(tracker: ByteTrack, scenes: list[Detections], step_s: float = 0.1) -> list[list[int]]:
    ids = []
    for i, scene in enumerate(scenes):
        tracked = tracker(frame(i, time_s=i * step_s), scene)
        assert tracked.track_ids is not None
        assert np.array_equal(tracked.xyxy, scene.xyxy)
        ids.append(tracked.track_ids.tolist())
    return ids


def test_nobody_ever() -> None:
    assert track(ByteTrackConfig("bytetrack").build("cpu"), [found()] * 3) == [[], [], []]


def test_a_still_person_is_tracked_from_the_second_key_frame_on() -> None:
    assert track(ByteTrackConfig("bytetrack").build("cpu"), [found((10, 10, 50, 100))] * 4) == [[-1], [1], [1], [1]]


def test_two_walkers_keep_their_ids_whatever_their_order() -> None:
    scenes = []
    for i in range(8):
        left, right = (10 + 4 * i, 10, 60 + 4 * i, 150), (300 - 4 * i, 10, 350 - 4 * i, 150)
        scenes.append(found(left, right) if i % 2 else found(right, left))
    ids = track(ByteTrackConfig("bytetrack").build("cpu"), scenes)
    assert {tuple(row if i % 2 else row[::-1]) for i, row in enumerate(ids) if i} == {tuple(ids[1])}
    assert sorted(ids[1]) == [1, 2]


def test_a_gap_is_bridged_and_a_long_one_is_not() -> None:
    person = found((10, 10, 60, 150))
    ids = track(ByteTrackConfig("bytetrack", lost_s=1.0).build("cpu"), [person] * 3 + [found()] * 5 + [person] * 2)
    assert ids[-1] == [1]
    ids = track(ByteTrackConfig("bytetrack", lost_s=1.0).build("cpu"), [person] * 3 + [found()] * 30 + [person] * 2)
    assert ids[-1] == [2]


def test_low_scores_go_on_but_do_not_begin() -> None:
    sure, unsure = found((10, 10, 60, 150)), found((10, 10, 60, 150), scores=(0.3,))
    assert track(ByteTrackConfig("bytetrack").build("cpu"), [sure, sure, unsure])[-1] == [1]
    assert track(ByteTrackConfig("bytetrack").build("cpu"), [unsure] * 3) == [[-1]] * 3


def test_videos_do_not_share_ids() -> None:
    config = ByteTrackConfig("bytetrack")
    scenes = [found((10, 10, 50, 100))] * 2
    assert track(config.build("cpu"), scenes) == track(config.build("cpu"), scenes)

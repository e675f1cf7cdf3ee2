from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from builders import frame, only_persons

from detectors import TRACKERS
from detectors.trackers import BoxTracker
from parsing.configs import resolve
from parsing.stages import Item
from parsing.types import Detections, Frame, FrameParse

PERSON = (10.0, 10.0, 60.0, 150.0)


def found(*boxes: tuple[float, float, float, float], scores: tuple[float, ...] | None = None) -> Detections:
    n = len(boxes)
    return Detections(np.array(boxes, np.float32).reshape(n, 4), np.array(scores or [0.9] * n), np.zeros(n))


def items(scenes: list[Detections | None], step_s: float = 0.1) -> Iterator[Item]:
    """Frames with these persons; None stands for a frame between key frames."""
    for i, scene in enumerate(scenes):
        yield frame(i, time_s=i * step_s), None if scene is None else only_persons(i, scene, i * step_s)


def track(tracker: BoxTracker, scenes: list[Detections]) -> list[list[int]]:
    """Ids of the persons in each scene, all of which are key frames."""
    ids = []
    for (_, parse), scene in zip(tracker(items([*scenes])), scenes, strict=True):
        assert parse is not None
        assert parse.persons.track_ids is not None
        assert np.array_equal(parse.persons.xyxy, scene.xyxy)
        ids.append(parse.persons.track_ids.tolist())
    return ids


def new_tracker(name: str = "bytetrack", **options: Any) -> Any:
    return resolve(TRACKERS, {"name": name, **options}, "tracker").build("cpu")


every_tracker = pytest.mark.parametrize("name", ["bytetrack", "ocsort", "botsort", "cbiou"])


@every_tracker
def test_nobody_ever(name: str) -> None:
    assert track(new_tracker(name), [found()] * 3) == [[], [], []]
    assert list(new_tracker(name)([])) == []


@every_tracker
def test_a_still_person_is_tracked_from_the_first_key_frame_on(name: str) -> None:
    assert track(new_tracker(name), [found((10, 10, 50, 100))] * 4) == [[1]] * 4


@every_tracker
def test_persons_seen_once_have_no_track(name: str) -> None:
    assert track(new_tracker(name), [found(PERSON)]) == [[-1]]
    passer_by = (400.0, 10.0, 460.0, 150.0)
    assert track(new_tracker(name), [found(PERSON), found(passer_by, PERSON), found(PERSON), found(PERSON)]) == [[1], [-1, 1], [1], [1]]


@pytest.mark.parametrize(("num_missing", "ids"), [(0, [1, 1]), (1, [1, 1]), (2, [-1, -1])])
def test_a_track_may_be_confirmed_by_one_of_the_next_two_key_frames(num_missing: int, ids: list[int]) -> None:
    assert [ids for ids in track(new_tracker(), [found(PERSON), *[found()] * num_missing, found(PERSON)]) if ids] == [[i] for i in ids]


@every_tracker
def test_persons_who_come_later_have_their_ids_at_once_whatever_their_order(name: str) -> None:
    second, third = (200.0, 10.0, 250.0, 150.0), (400.0, 10.0, 450.0, 150.0)
    scenes = [found(PERSON), found(third, PERSON, second), found(second, third, PERSON), found(PERSON, second, third)]
    ids = track(new_tracker(name), scenes)
    assert ids[0] == [1]
    named = [dict(zip(map(tuple, scene.xyxy.tolist()), row, strict=True)) for scene, row in zip(scenes, ids, strict=True)]
    assert named[1] == named[2] == named[3]
    assert set(named[3].values()) == {1, 2, 3}


@every_tracker
def test_boxes_that_are_equal_begin_tracks_of_their_own(name: str) -> None:
    ids = track(new_tracker(name), [found(PERSON, PERSON)] * 3)
    assert [sorted(row) for row in ids] == [[1, 2]] * 3


@every_tracker
def test_two_walkers_keep_their_ids_whatever_their_order(name: str) -> None:
    scenes = []
    for i in range(8):
        left, right = (10 + 4 * i, 10, 60 + 4 * i, 150), (300 - 4 * i, 10, 350 - 4 * i, 150)
        scenes.append(found(left, right) if i % 2 else found(right, left))
    ids = track(new_tracker(name), scenes)
    assert {tuple(row if i % 2 else row[::-1]) for i, row in enumerate(ids)} == {tuple(ids[1])}
    assert sorted(ids[1]) == [1, 2]


@every_tracker
def test_a_gap_is_bridged_and_a_long_one_is_not(name: str) -> None:
    person = found(PERSON)
    ids = track(new_tracker(name, lost_s=1.0), [person] * 3 + [found()] * 5 + [person] * 2)
    assert ids[-2:] == [[1], [1]]
    ids = track(new_tracker(name, lost_s=1.0), [person] * 3 + [found()] * 30 + [person] * 2)
    assert ids[-2:] == [[2], [2]]


def test_low_scores_go_on_but_do_not_begin() -> None:
    sure, unsure = found(PERSON), found(PERSON, scores=(0.3,))
    assert track(new_tracker(), [sure, sure, unsure]) == [[1]] * 3
    assert track(new_tracker(), [sure, unsure]) == [[1]] * 2
    assert track(new_tracker(), [unsure] * 3) == [[-1]] * 3
    assert track(new_tracker(), [unsure, sure, sure]) == [[-1], [1], [1]]


@every_tracker
@pytest.mark.parametrize(("score", "num_keys", "counts"), [(0.6, 3, False), (0.6, 4, True), (0.8, 2, True)])
def test_a_track_that_is_brief_and_unsure_is_none(name: str, score: float, num_keys: int, counts: bool) -> None:
    """Key frames are 0.1 s apart; the person who stays keeps the lowest number."""
    somebody = (400.0, 10.0, 460.0, 150.0)
    both, one = found(PERSON, somebody, scores=(0.9, score)), found(PERSON)
    ids = track(new_tracker(name), [both] * num_keys + [one] * 12)
    assert ids == [[1, 2 if counts else -1]] * num_keys + [[1]] * 12


def test_what_is_kept_of_a_track_goes_with_it() -> None:
    tracker, scenes = new_tracker(), [found((50.0 * (i % 40), 10, 50.0 * (i % 40) + 20, 100)) for i in range(400)]
    frames = tracker(items([*scenes]))
    sizes = [len(frames.gi_frame.f_locals["seen"]) for _ in zip(range(390), frames, strict=False)]
    assert max(sizes[200:]) <= max(sizes[:200])


@every_tracker
def test_videos_do_not_share_ids(name: str) -> None:
    tracker, scenes = new_tracker(name), [found((10, 10, 50, 100))] * 2
    assert track(tracker, scenes) == track(tracker, scenes) == [[1], [1]]


@every_tracker
def test_frames_wait_for_no_more_than_two_key_frames(name: str) -> None:
    """Each key frame shows a new person, who is gone in the next one: no frame is ever without a track that is open."""
    taken = 0

    def counted() -> Iterator[Item]:
        nonlocal taken
        scenes = [None if i % 3 else found((50.0 * (i % 40), 10, 50.0 * (i % 40) + 20, 100)) for i in range(120)]
        for item in items(scenes):
            taken += 1
            yield item

    waiting = []
    for number, (f, parse) in enumerate(new_tracker(name)(counted())):
        assert f.index == number
        assert (parse is not None) == (number % 3 == 0)
        waiting.append(taken - number)
    assert len(waiting) == 120
    # The frame itself, two more key frames and the frames between; BoT-SORT and C-BIoU forget a new track after one without it.
    assert max(waiting) == {"bytetrack": 7, "ocsort": 7, "botsort": 4, "cbiou": 4}[name]


def test_unsure_detections_are_not_followed_by_oc_sort() -> None:
    sure, unsure = found(PERSON), found(PERSON, scores=(0.3,))
    assert track(new_tracker("ocsort"), [sure, sure, unsure, sure]) == [[1], [1], [-1], [1]]


def panned(index: int, step_px: int = 30) -> tuple[Frame, FrameParse]:
    """A textured wall with a person on it, past which the camera moves."""
    wall = cv2.resize(np.random.default_rng(0).integers(0, 255, (15, 45, 3), np.uint8), (720, 240), interpolation=cv2.INTER_CUBIC)
    left = step_px * index
    scene = found((300.0 - left, 60, 325.0 - left, 200))
    return Frame("a.mp4", index, index / 10, np.ascontiguousarray(wall[:, left : left + 400])), only_persons(index, scene, index / 10)


@pytest.mark.parametrize("camera_motion", ["flow", "orb", "sift"])
def test_bot_sort_follows_the_camera(camera_motion: str) -> None:
    scenes = [panned(i) for i in range(5)]
    ids = [parse.persons.track_ids.tolist() for _, parse in new_tracker("botsort", camera_motion=camera_motion)(iter(scenes))]
    assert ids == [[1]] * 5
    ids = [parse.persons.track_ids.tolist() for _, parse in new_tracker("bytetrack")(iter(scenes))]
    assert ids == [[-1]] * 5  # 30 px a frame is more than the person is wide


def test_c_biou_matches_boxes_that_do_not_touch() -> None:
    scenes = [found((10 + 52.0 * i, 10, 60 + 52.0 * i, 150)) for i in range(5)]
    assert track(new_tracker("cbiou", first_margin=0.5), scenes) == [[1]] * 5
    assert track(new_tracker("cbiou", first_margin=0.0), scenes) == [[-1]] * 5

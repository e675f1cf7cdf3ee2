from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from builders import VOCABULARY, frame, frame_parse, ramp

from parsing.errors import InputError
from parsing.media.encoding import VideoWriter
from parsing.media.video import Video
from parsing.types import ActionScore, Frame, FrameParse, Parts
from parsing.vocabulary import Vocabulary
from pipelines.drawing.colours import PAIR_COLOURS, SINGLE_COLOURS, part_colours
from pipelines.drawing.frames import DrawingConfig, FrameDrawer

ACTIONS = (ActionScore("walk", 0.75, 0, 1), ActionScore("run", 0.25, 0, 1))


def draw(scene: Frame, parse: FrameParse, told: Sequence[ActionScore] = (), of_tracks: Any = None, **settings: Any) -> np.ndarray:
    return FrameDrawer(VOCABULARY, DrawingConfig(**settings)).draw(scene, parse, told, of_tracks)


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row) for row in picture.reshape(-1, 3).tolist()}


def test_nobody_and_no_action_leave_the_picture_alone() -> None:
    empty = frame()
    assert np.array_equal(draw(empty, frame_parse(0, [])), empty.image)


def test_unsure_persons_without_a_track_are_drawn_where_there_are_no_tracks_or_they_are_asked_for() -> None:
    scene, one = frame(hw=(480, 640)), frame_parse(0, [[100.0, 50.0, 200.0, 400.0]])
    unsure = replace(one, persons=replace(one.persons, scores=np.array([0.6]), track_ids=np.array([-1])))
    sure = replace(unsure, persons=replace(unsure.persons, scores=np.array([0.9])))
    tracked = replace(unsure, persons=replace(unsure.persons, track_ids=np.array([3])))
    assert np.array_equal(draw(scene, unsure), scene.image)
    still = FrameDrawer(VOCABULARY, has_tracks=False).draw(scene, unsure)
    for picture in (draw(scene, sure), draw(scene, tracked), draw(scene, unsure, brief=True), still):
        assert not np.array_equal(picture, scene.image)


@pytest.mark.parametrize("hw", [(480, 640), (1080, 1920)])
def test_boxes_parts_and_banner_are_drawn(hw: tuple[int, int]) -> None:
    height, width = hw
    scene = frame(hw=hw)
    person = [width * 0.2, height * 0.05, width * 0.5, height * 0.85]
    picture = draw(scene, frame_parse(0, [person]), ACTIONS)
    assert picture.shape == scene.image.shape
    assert not scene.image.any()  # the frame itself stays as it was
    # All parts of this person share one box: the last visible one is on top.
    assert part_colours(VOCABULARY)[8] in colours(picture)
    assert picture[round(height * 0.8) :, : width // 3].max() > 100  # text in the banner


def test_the_action_of_a_track_is_written_once_it_has_begun() -> None:
    scene, parse = frame(10, hw=(480, 640)), frame_parse(10, [[100, 200, 300, 400]], [7])  # at 1.0 s
    plain = draw(scene, parse)

    def drawn(track_id: int, *actions: ActionScore) -> np.ndarray:
        return draw(scene, parse, (), {track_id: actions})

    walk, run = ActionScore("walk", 0.5, 0.2, 0.9), ActionScore("run", 0.5, 0.8, 2.0)
    assert np.array_equal(drawn(8, walk), plain)  # of another track
    assert np.array_equal(drawn(7, ActionScore("walk", 0.5, 1.1, 2.0)), plain)  # yet to come
    assert not np.array_equal(drawn(7, walk), plain)
    assert np.array_equal(drawn(7, walk, run), drawn(7, run))  # the one that began last
    assert np.array_equal(draw(scene, parse, (), {}), plain)


def test_tiny_frames_get_boxes_without_text() -> None:
    picture = draw(frame(hw=(34, 34)), frame_parse(0, [[4, 4, 20, 24]]), ACTIONS)
    assert picture[4, 5:20].any()
    assert not picture[28:].any()


def test_boxes_may_reach_over_the_edge() -> None:
    draw(frame(), frame_parse(0, [[-50, -20, 400, 300], [310, 230, 330, 250]]), ACTIONS)


def test_every_part_has_a_colour_of_its_own() -> None:
    assert len(set(part_colours(VOCABULARY))) == 10
    own = Vocabulary("own", ("fist", "cap", "palm", "bat"), (), ((),) * 4, (), pairs=(("palm", "fist"),))
    assert part_colours(own) == [PAIR_COLOURS[0][0], SINGLE_COLOURS[0], PAIR_COLOURS[0][1], SINGLE_COLOURS[1]]


def test_video_keeps_its_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 1.0, 2.5]
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 10) as writer:
        for i, time_s in enumerate(times):
            writer.add(ramp(i), time_s)
    with Video(tmp_path / "a.mp4") as video:
        frames = list(video.frames())
        assert [frame.time_s for frame in frames] == pytest.approx(times)
        assert video.facts.duration_s == pytest.approx(2.6, abs=0.01)
    assert [round((float(frame.image.mean()) - 10) / 8) for frame in frames] == [0, 1, 2, 3, 4]
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_odd_sizes_gain_a_row_and_a_column(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (33, 51), 10) as writer:
        writer.add(ramp(20, (33, 51)), 0.0)
    (frame,) = Video(tmp_path / "a.mp4").at([0]).values()
    assert frame.image_hw == (34, 52)
    assert frame.image.min() > 160


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with VideoWriter(tmp_path / "a.mp4", (48, 64), 10) as writer:
            writer.add(ramp(0), 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no frame to write"), VideoWriter(tmp_path / "a.mp4", (48, 64), 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_times_that_stand_still_are_pushed_on(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (48, 64), 10) as writer:
        for _ in range(3):
            writer.add(ramp(1), 0.5)
    assert Video(tmp_path / "a.mp4").facts.frames_declared == 3


PERSON = [60, 90, 160, 300]


@pytest.mark.parametrize("hidden", ["panels", "parts", "ids", "actions"])
def test_what_is_hidden_is_not_drawn(hidden: str) -> None:
    scene, parse = frame(hw=(360, 480)), frame_parse(0, [PERSON])
    parts = Parts(parse.parts.xyxy * 0.8, parse.parts.scores, parse.parts.visible)  # not on the edges of the person
    parse = FrameParse(0, 0.0, parse.persons, parts, parse.states)
    everything = draw(scene, parse, ACTIONS)
    less = draw(scene, parse, ACTIONS, **{hidden: False})
    assert not np.array_equal(everything, less)
    assert less.any()


def test_one_track_is_followed() -> None:
    scene, both = frame(hw=(360, 480)), frame_parse(0, [PERSON, [250, 90, 350, 300]], [4, 5])
    alone = frame_parse(0, [PERSON], [4])
    followed = draw(scene, both, parts=False, panels=False, follow=4)
    assert np.array_equal(followed, draw(scene, alone, parts=False, panels=False))
    assert not draw(scene, both, follow=9).any()


def test_persons_without_a_track_differ_in_their_number_alone() -> None:
    scene = frame(hw=(360, 480))
    tracked, untracked = (draw(scene, frame_parse(0, [PERSON], [track]), parts=False).any(2) for track in (1, -1))
    differs = tracked != untracked
    assert 0 < differs[:90].sum() < 400  # the number
    assert not differs[91:].any()


@pytest.mark.parametrize("hw", [(135, 240), (240, 320), (2160, 3840), (480, 130)])
def test_panels_and_banner_stay_within_the_picture_and_off_the_person(hw: tuple[int, int]) -> None:
    height, width = hw
    person = [width * 0.05, height * 0.1, width * 0.35, height * 0.9]
    scene = frame(hw=hw)
    bare, full = (draw(scene, frame_parse(0, [person]), ACTIONS, ids=False, parts=False, panels=panels) for panels in (False, True))
    x1, y1, x2, y2 = (round(side) for side in person)
    if min(hw) >= 240:  # below, there is no room beside the banner
        assert not np.array_equal(bare, full)
        assert np.array_equal(bare[y1:y2, x1:x2], full[y1:y2, x1:x2])
    assert full.shape == (height, width, 3)


def test_actions_stand_while_they_hold_with_their_times() -> None:
    scene, parse = frame(hw=(360, 480)), frame_parse(5, [], time_s=0.5)
    later = ActionScore("run", 0.9, 0.6, 1.0)
    assert not draw(scene, parse, [later]).any()
    one, other = (draw(scene, parse, [ActionScore("walk", 0.75, 0.0, end_s)]) for end_s in (1.0, 2.0))
    assert not np.array_equal(one, other)


def test_a_panel_stays_where_it_is_when_states_change() -> None:
    drawer, scene = FrameDrawer(VOCABULARY, DrawingConfig(ids=False, parts=False)), frame(hw=(480, 640))
    lefts = []
    for i in range(6):
        picture = drawer.draw(scene, frame_parse(i, [[200, 100, 300, 400]], seed=i))
        outside = picture.copy()
        outside[95:405, 195:305] = 0
        lefts.append(int(np.flatnonzero(outside.any((0, 2)))[0]))
    assert max(lefts) - min(lefts) <= 2

from pathlib import Path

import av
import numpy as np
import pytest
from builders import VOCABULARY, frame, frame_parse, ramp

from parsing.errors import InputError
from parsing.media.encoding import VideoWriter
from parsing.media.video import Video
from parsing.types import ActionScore
from parsing.vocabulary import Vocabulary
from pipelines.parse.rendering import PAIR_COLOURS, SINGLE_COLOURS, draw_parse, part_colours

ACTIONS = (ActionScore("walk", 0.75, 0, 1), ActionScore("run", 0.25, 0, 1))


def colours(picture: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(row) for row in picture.reshape(-1, 3).tolist()}


def test_nobody_and_no_action_leave_the_picture_alone() -> None:
    empty = frame()
    assert np.array_equal(draw_parse(empty, frame_parse(0, []), VOCABULARY, ()), empty.image)


@pytest.mark.parametrize("hw", [(480, 640), (1080, 1920)])
def test_boxes_parts_and_banner_are_drawn(hw: tuple[int, int]) -> None:
    height, width = hw
    scene = frame(hw=hw)
    person = [width * 0.2, height * 0.05, width * 0.5, height * 0.85]
    picture = draw_parse(scene, frame_parse(0, [person]), VOCABULARY, ACTIONS)
    assert picture.shape == scene.image.shape
    assert not scene.image.any()  # the frame itself stays as it was
    # All parts of this person share one box: the last visible one is on top.
    assert part_colours(VOCABULARY)[8] in colours(picture)
    assert picture[round(height * 0.8) :, : width // 3].max() > 100  # text in the banner


def test_the_action_of_a_track_is_written_once_it_has_begun() -> None:
    scene, parse = frame(10, hw=(480, 640)), frame_parse(10, [[100, 200, 300, 400]], [7])  # at 1.0 s
    plain = draw_parse(scene, parse, VOCABULARY, ())

    def drawn(track_id: int, *actions: ActionScore) -> np.ndarray:
        return draw_parse(scene, parse, VOCABULARY, (), {track_id: actions})

    walk, run = ActionScore("walk", 0.5, 0.2, 0.9), ActionScore("run", 0.5, 0.8, 2.0)
    assert np.array_equal(drawn(8, walk), plain)  # of another track
    assert np.array_equal(drawn(7, ActionScore("walk", 0.5, 1.1, 2.0)), plain)  # yet to come
    assert not np.array_equal(drawn(7, walk), plain)
    assert np.array_equal(drawn(7, walk, run), drawn(7, run))  # the one that began last
    assert np.array_equal(draw_parse(scene, parse, VOCABULARY, (), {}), plain)


def test_tiny_frames_get_boxes_without_text() -> None:
    picture = draw_parse(frame(hw=(34, 34)), frame_parse(0, [[4, 4, 20, 24]]), VOCABULARY, ACTIONS)
    assert picture[4, 5:20].any()
    assert not picture[28:].any()


def test_boxes_may_reach_over_the_edge() -> None:
    draw_parse(frame(), frame_parse(0, [[-50, -20, 400, 300], [310, 230, 330, 250]]), VOCABULARY, ACTIONS)


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

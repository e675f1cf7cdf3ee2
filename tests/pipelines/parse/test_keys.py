"""Which frames are key frames, and that results come in order however many networks run at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import frame, write_video
from seeded import seeded_image

from parsing.errors import InputError
from parsing.types import Detections, Frame
from pipelines import VideoParser
from pipelines.parse.config import read_pipeline
from pipelines.parse.keys import MotionKeys, WhereMoved, key_frames


def pictures(moves: list[int]) -> list[Frame]:
    """A white square on black whose left side lies at each of `moves`."""
    found = []
    for index, left in enumerate(moves):
        image = np.zeros((96, 128, 3), np.uint8)
        image[40:60, left : left + 20] = 255
        found.append(Frame("v", index, index / 10, image))
    return found


def chosen(frames: list[Frame], options: MotionKeys, box: list[float] | None) -> list[int]:
    keys = WhereMoved(options)
    found = []
    for one in frames:
        if keys(one):
            found.append(one.index)
            boxes = np.array([box] if box else [], np.float32).reshape(-1, 4)
            keys.saw(Detections(boxes, np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int64)))
    return found


def test_key_frames_come_where_a_person_moves() -> None:
    options = MotionKeys(least=2, most=6, change=8.0)
    still = pictures([30] * 14)
    assert chosen(still, options, [25, 35, 55, 65]) == [0, 6, 12]
    moving = pictures([30 + 4 * i for i in range(8)])
    assert chosen(moving, options, [25, 35, 80, 65]) == [0, 2, 4, 6]
    late = pictures([30] * 4 + [50] * 4)
    assert chosen(late, options, [25, 35, 80, 65]) == [0, 4]


def test_what_moves_beside_the_persons_makes_no_key_frame() -> None:
    frames = pictures([30 + 4 * i for i in range(8)])
    assert chosen(frames, MotionKeys(least=1, most=100, change=8.0), [2, 2, 20, 30]) == [0]
    assert chosen(frames, MotionKeys(least=1, most=100, change=30.0), None) == [0], "a square is a small part of the picture"
    assert chosen(frames, MotionKeys(least=1, most=100, change=1.0), None)[1] < 6


def test_a_person_outside_of_the_picture_or_without_pixels_is_no_error() -> None:
    frames = pictures([30] * 3)
    for box in ([-50.0, -50.0, -20.0, -20.0], [10.0, 10.0, 10.0, 10.0], [500.0, 500.0, 600.0, 600.0]):
        assert chosen(frames, MotionKeys(least=1, most=2), box) == [0, 2]


def test_every_nth() -> None:
    keys = key_frames(3)
    assert [i for i in range(7) if keys(frame(i))] == [0, 3, 6]


def test_settings(tiny_pipeline: Path) -> None:
    assert read_pipeline(str(tiny_pipeline), ["every=auto"]).every == MotionKeys()
    assert read_pipeline(str(tiny_pipeline), ["every={least: 3, most: 5}"]).every == MotionKeys(3, 5)
    for value, message in (
        ("0", "every: .*greater than or equal to 1"),
        ("often", "every: .*integer"),
        ("{least: 5, most: 3}", "least 5, expected at most `most`"),
        ("{lest: 3}", "every.*lest"),
    ):
        with pytest.raises(InputError, match=message):
            read_pipeline(str(tiny_pipeline), [f"every={value}"])


def boxes(config: Path, video: Path, *settings: str) -> list[Any]:
    parser = VideoParser.from_config(str(config), settings, "cpu")
    return [(one.index, one.key, one.persons.xyxy, one.parts.xyxy, one.states.scores) for one in parser.stream(video)]


def test_a_parse_does_not_depend_on_how_many_networks_run_at_a_time(tiny_pipeline: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [np.roll(seeded_image(96, 128), 5 * i, 1) for i in range(9)])
    one, many = boxes(tiny_pipeline, video, "batch=1"), boxes(tiny_pipeline, video, "batch=5")
    for first, second in zip(one, many, strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-3)


def test_every_auto_parses_all_frames(tiny_pipeline: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [np.roll(seeded_image(96, 128), 9 * max(0, i - 8), 1) for i in range(16)])
    found = boxes(tiny_pipeline, video, "every={least: 1, most: 5, change: 4.0}")
    assert [index for index, *_ in found] == list(range(16))
    keys = [index for index, key, *_ in found if key]
    assert keys[:2] == [0, 5]
    assert len([index for index in keys if index > 8]) > 4


def test_key_frames_by_motion_do_not_depend_on_the_batch(tiny_pipeline: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [np.roll(seeded_image(96, 128), int(0.3 * i * i), 1) for i in range(20)])
    one, many = (
        [(index, key) for index, key, *_ in boxes(tiny_pipeline, video, "every={least: 1, most: 5}", f"batch={n}")] for n in (1, 8)
    )
    assert one == many

"""Frames from memory: hostile ones are refused in one line, sequences can be asked for frames, iterators come once."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from builders import ramp

from parsing.errors import InputError
from parsing.media.arrays import ArraySource
from parsing.types import Array, Frame

GOOD = ramp(0)  # 48 x 64


def timed(*times_s: float) -> list[Frame]:
    return [Frame("v.mp4", 7 + i, time_s, ramp(i)) for i, time_s in enumerate(times_s)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "f: no frames, expected at least one"),
        (iter(()), "f: no frames"),
        (np.zeros((0, 48, 64, 3), np.uint8), "f: no frames"),
        (5, "f: int, expected an iterable of arrays"),
        (np.array(5), "expected an iterable of arrays"),
        ("video.mp4", r"f: frame 0: str, expected a uint8 array \(H, W, 3\)"),
        ([None], "frame 0: NoneType"),
        ([GOOD.tolist()], "frame 0: list, expected"),
        (GOOD, r"frame 0: uint8 array \(64, 3\), expected a uint8 array \(H, W, 3\)"),
        ([GOOD[..., 0]], r"frame 0: uint8 array \(48, 64\)"),
        ([np.zeros((48, 64, 4), np.uint8)], r"\(48, 64, 4\)"),
        ([np.zeros((0, 64, 3), np.uint8)], r"\(0, 64, 3\)"),
        ([GOOD.astype(np.float32)], r"frame 0: float32 array \(48, 64, 3\)"),
        ([GOOD, GOOD.astype(np.int64)], r"frame 1: int64 array"),
        ([GOOD, GOOD, None], "frame 2: NoneType"),
        ([GOOD, ramp(1, (64, 48))], r"frame 1: \(H, W\) is \(64, 48\), expected \(48, 64\) as of the first frame"),
        ([*timed(0.0), GOOD, *timed(0.05)], "frame 2: at 0.05 s, expected a time after 0.1 s"),
        (timed(0.0, 0.5, 0.5), "frame 2: at 0.5 s, expected a time after 0.5 s"),
        (timed(0.0, 0.5, 0.25), "frame 2: at 0.25 s, expected a time after 0.5 s"),
        (timed(-1.0), "frame 0: at -1.0 s, expected seconds from the first frame"),
        (timed(0.0, float("nan")), "frame 1: at nan s"),
        (timed(1.7e9), r"frame 0: at 1700000000\.0 s, expected seconds from the first frame, up to 1000000000"),
    ],
)
@pytest.mark.parametrize("once", [False, True])
def test_hostile_frames_are_named(given: Any, message: str, once: bool) -> None:
    with pytest.raises(InputError, match=message):
        list(ArraySource(iter(given) if once and isinstance(given, list) else given, 10, "f").frames())


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 1e7, "25", True, [25]])
def test_rates_that_are_none_are_refused(fps: Any) -> None:
    with pytest.raises(InputError, match=r"f: fps: .* expected a number above 0 and at most 1000000"):
        ArraySource([GOOD], fps, "f")


def test_arrays_need_a_rate_and_frames_with_times_do_not() -> None:
    with pytest.raises(InputError, match="f: frame 0: an array has no time of its own, expected fps"):
        ArraySource([GOOD], None, "f")
    source = ArraySource(iter([*timed(0.0, 0.25), GOOD]))
    with pytest.raises(InputError, match="frames: frame 2: an array has no time of its own"):
        list(source.frames())


@pytest.mark.parametrize("rate", [Fraction(25, 2), np.float32(12.5)])
def test_times_follow_from_the_rate(rate: Any) -> None:
    source = ArraySource((ramp(i) for i in range(5)), rate, "cam")
    assert [(f.video, f.index, f.time_s) for f in source.frames()] == [("cam", i, i * 0.08) for i in range(5)]
    assert (source.facts.fps, source.facts.duration_s) == (12.5, pytest.approx(0.4))


def test_frames_keep_their_times_and_are_numbered_anew() -> None:
    source = ArraySource(iter(timed(2.0, 2.5, 4.0)))
    assert [(f.video, f.index, f.time_s) for f in source.frames()] == [("v.mp4", 0, 2.0), ("v.mp4", 1, 2.5), ("v.mp4", 2, 4.0)]
    assert (source.facts.fps, source.facts.duration_s) == (1.0, 3.0)  # two steps in two seconds, and the last frame lasts as long


def test_a_sequence_is_known_at_once_and_can_be_read_again() -> None:
    source = ArraySource([ramp(i) for i in range(4)], 10)
    facts = source.facts
    assert (source.num_frames, facts.frames_declared, facts.duration_s, facts.frames_decoded) == (4, 4, pytest.approx(0.4), 0)
    assert (facts.width, facts.height) == (64, 48)
    assert {i: (f.index, f.image[0, 0, 0]) for i, f in source.at([1, 9]).items()} == {1: (1, 18), 9: (3, 34)}
    for _ in range(2):
        assert [f.image[0, 0, 0] for f in source.frames()] == [10, 18, 26, 34]
    assert (source.complete, source.facts.frames_decoded) == (True, 4)


def test_an_iterator_is_taken_as_needed_and_comes_once() -> None:
    taken: list[int] = []

    def pictures() -> Iterator[Array]:
        for i in range(3):
            taken.append(i)
            yield ramp(i)

    source = ArraySource(pictures(), 10)
    assert (source.num_frames, source.complete, taken) == (None, "unknown", [0])  # one is needed for the size
    frames = source.frames()
    assert next(frames).image[0, 0, 0] == 10
    assert taken == [0]
    assert next(frames).image[0, 0, 0] == 18
    assert (taken, source.complete, source.facts.duration_s) == ([0, 1], "unknown", pytest.approx(0.2))
    assert len(list(frames)) == 1
    assert (source.complete, source.facts.frames_decoded) == (True, 3)
    with pytest.raises(InputError, match="frames: read before, and its frames come only once"):
        list(source.frames())
    with pytest.raises(InputError, match="frames: frames come only once, expected a sequence"):
        source.at([0])


def test_one_array_may_be_written_again_and_again_and_views_will_do() -> None:
    def pictures() -> Iterator[Array]:
        picture = np.zeros((48, 64, 3), np.uint8)
        for i in range(3):
            picture[:] = (i, 10 + i, 20 + i)
            yield picture[..., ::-1]

    frames = list(ArraySource(pictures(), 10).frames())
    assert [f.image[0, 0].tolist() for f in frames] == [[20 + i, 10 + i, i] for i in range(3)]
    assert all(f.image.flags.c_contiguous for f in frames)

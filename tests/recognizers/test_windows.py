"""Windows over time, and the timeline of what they show."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.types import ActionScore, ActionScores, Frame
from recognizers.windows import Timeline, WindowConfig, Windows, recognize

NAMES = ("a", "b", "c")


def spans(found: Sequence[ActionScore]) -> list[tuple[str, float, float]]:
    return [(a.label, round(a.start_s, 3), round(a.end_s, 3)) for a in found]


def cut(
    times_s: Iterable[float], window_s: float, every_s: float, most: int = 100, least: int = 1
) -> list[tuple[float, float, list[float]]]:
    """Start, end and the times of the items of each window."""
    windows, found, end_s = Windows[float](window_s, every_s, most, least_items=least), [], 0.0
    for time_s in times_s:
        found += windows.add(time_s, time_s)
        assert len(windows.items) <= most
        end_s = time_s
    return [(w.start_s, w.end_s, list(w.items)) for w in [*found, *windows.finish(end_s)]]


def test_nothing_has_no_window() -> None:
    assert cut([], 2, 1) == []
    assert cut([0.0], 2, 1) == [(0, 0, [0.0])]


def test_windows_overlap_and_the_last_ends_with_the_items() -> None:
    assert [(start, end, len(items)) for start, end, items in cut([i / 10 for i in range(50)], 2, 1)] == [
        (0, 2, 20), (1, 3, 20), (2, 4, 20), (3, 4.9, 20),
    ]  # fmt: skip


def test_no_window_shows_only_what_the_one_before_has_shown() -> None:
    assert [(start, end) for start, end, _ in cut([i / 10 for i in range(20)], 2, 1)] == [(0, 1.9)]
    assert [(start, end) for start, end, _ in cut([*(i / 10 for i in range(10)), 1.7], 1, 0.125)] == [(0, 1), (0.75, 1.7)]


def test_windows_over_gaps_show_what_lies_in_them() -> None:
    """A slide show of a picture every ten seconds, a burst, and times that leap."""
    times_s = [0.0, 10.0, 20.5, 20.6, 23.0, 1e9]
    assert cut(times_s, 4, 2) == [(0, 4, [0.0]), (10, 14, [10.0]), (20, 24, [20.5, 20.6, 23.0]), (1e9, 1e9, [1e9])]


def test_items_that_come_too_fast_do_not_fill_the_memory() -> None:
    # The distance of two items is 0.9 of 2 s / 8 = 0.225 s at least; of ten a second, that is every third item.
    lengths = {rate: [len(items) for _, _, items in cut([i / rate for i in range(4 * rate)], 2, 1, most=8)] for rate in (4, 10, 1000)}
    assert lengths[4] == [8, 8, 8]
    assert lengths[10] == [7, 6, 7]
    assert all(6 <= length <= 8 for length in lengths[1000])


def test_windows_with_too_few_items_are_left_out() -> None:
    assert cut([0.0, 0.5, 3.0, 3.1, 3.2], 1, 1, least=3) == [(3, 3.2, [3.0, 3.1, 3.2])]


def scores(*probabilities: float, holds: float = 0.5) -> ActionScores:
    given = np.array(probabilities)
    return ActionScores(given, given > holds)


def test_windows_that_touch_and_agree_become_one() -> None:
    timeline = Timeline()
    timeline.add(scores(0.4, 0.9, 0.1, holds=0.3), NAMES, 0, 2, "low_res")
    timeline.add(scores(0.8, 0.2, 0.1), NAMES, 1, 3, "low_res")
    timeline.add(scores(0.6, 0.7, 0.1), NAMES, 2, 4, "low_res")
    timeline.add(scores(0.1, 0.7, 0.1), NAMES, 5, 6, "low_res")
    timeline.add(scores(0.1, 0.7, 0.1), NAMES, 5.5, 6.5, "recognizers")
    timeline.add(scores(0.1, 0.1, 0.1), NAMES, 6, 7, "recognizers")
    assert spans(timeline.actions) == [("b", 0, 2), ("a", 0, 4), ("b", 2, 4), ("b", 5, 6), ("b", 5.5, 6.5)]
    assert timeline.actions[1].score == pytest.approx(0.6)


def test_a_recognizer_gets_the_frames_of_a_window_by_their_place() -> None:
    class Last:
        action_names, multi_label, models = NAMES, True, ()

        def indices(self, num_frames: int) -> np.ndarray:
            return np.array([num_frames - 1])

        def __call__(self, frames: dict[int, Frame], num_frames: int) -> ActionScores:
            assert list(frames) == [num_frames - 1]
            return scores(frames[num_frames - 1].index / 10, 0, 0)

    frames = [Frame("v", index, 0.0, np.zeros((2, 2, 3), np.uint8)) for index in (4, 6, 9)]
    assert recognize(Last(), frames).probabilities[0] == pytest.approx(0.9)


def test_windows_with_gaps_between_them_are_refused() -> None:
    with pytest.raises(InputError, match=r"windows: .*every_s 13\.0 leaves gaps between windows of 12\.0 s"):
        parse_config(WindowConfig, {"every_s": 13}, "windows")

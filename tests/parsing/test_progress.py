"""Rates and times that are left, by a clock that tests turn."""

import logging

import pytest

from parsing.progress import Counter, Pace, pace_text


def paced(times: list[float]) -> Pace:
    ticks = iter(times)
    pace = Pace(lambda: next(ticks))
    for _ in times:
        pace.advance()
    return pace


def test_the_warm_up_does_not_count() -> None:
    """The first item takes 60 s, the others 2 s each."""
    pace = paced([60, 62, 64, 66])
    assert pace.rate == pytest.approx(0.5)
    assert pace.left_s(10) == pytest.approx(20)
    assert pace_text(pace, 10, "steps") == "0.5 steps/s, ETA 0:20"
    assert pace_text(pace, 3600, "items", scale=4) == "2.0 items/s, ETA 2:00:00"
    assert pace_text(pace, -1, "frames") == "0.5 frames/s"  # the total is not known, or was too low


def test_items_in_bursts() -> None:
    """Twelve frames at once every 4 s are 3 frames a second, whenever one looks."""
    bursts = [30 + 4 * burst + 0.01 * i for burst in range(3) for i in range(12)]
    assert paced(bursts[:12]).left_s(100) is None  # one burst says nothing
    for count in range(13, len(bursts)):
        assert paced(bursts[: count + 1]).rate == pytest.approx(3, rel=0.01)


def test_nothing_is_said_before_it_is_known() -> None:
    for times in ([], [5.0], [5.0, 5.0]):
        assert pace_text(paced(times), 9, "frames") == ""


def test_lines_name_what_they_count_in_one_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsing.progress.LINE_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO), Counter("[red]a\nb.mp4", 2, quiet=False) as counter:
        counter.advance()
    assert caplog.messages == ["[red]a\\nb.mp4: 1 of 2 frames"]

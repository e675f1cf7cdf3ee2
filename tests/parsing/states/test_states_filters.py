import numpy as np
import pytest
from builders import frame, frame_parse

from parsing.states.filters import Smooth
from parsing.types import FrameParse

BOX = [0.0, 0, 20, 40]


def smoothed(parses: list[FrameParse | None], window_s: float) -> list[FrameParse | None]:
    items = [(frame(i), parse) for i, parse in enumerate(parses)]
    found = list(Smooth(window_s)(items))
    assert [f.index for f, _ in found] == list(range(len(parses)))
    return [parse for _, parse in found]


def test_neighbours_count_by_nearness() -> None:
    parses = [frame_parse(i, [BOX], [1], seed=i) for i in range(3)]  # 0.1 s apart
    found = smoothed(list(parses), 0.2)
    a, b, c = (parse.states.scores for parse in parses)
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].states.scores == pytest.approx((a + 0.5 * b) / 1.5, abs=1e-5)
    assert found[1].states.scores == pytest.approx((0.5 * a + b + 0.5 * c) / 2, abs=1e-5)


def test_tracks_do_not_mix_and_persons_without_one_stay() -> None:
    parses = [frame_parse(i, [BOX, BOX], ids, seed=i) for i, ids in enumerate([[1, -1], [2, -1], [1, 3]])]
    found = smoothed(list(parses), 0.15)
    for parse, other in zip(parses, found, strict=True):
        assert other is not None
        assert other.states.scores == pytest.approx(parse.states.scores, abs=1e-6)


def test_hidden_parts_neither_vote_nor_speak() -> None:
    parses = [frame_parse(i, [BOX], [1], seed=i) for i in range(2)]
    parses[1].parts.visible[0, 0] = False
    found = smoothed(list(parses), 0.5)
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].states.scores[0, 0] == pytest.approx(parses[0].states.scores[0, 0], abs=1e-6)
    assert not found[1].states.scores[0, 0].any()


def test_frames_between_key_frames_pass_in_order_and_memory_is_bounded() -> None:
    waiting = 0

    def items():  # type: ignore[no-untyped-def]
        nonlocal waiting
        for i in range(100):
            waiting += 1
            yield frame(i), frame_parse(i, [BOX], [1], seed=i) if i % 3 == 0 else None

    most = 0
    for number, (f, parse) in enumerate(Smooth(0.5)(items())):
        assert f.index == number
        assert (parse is not None) == (number % 3 == 0)
        most = max(most, waiting - number)
    assert most <= 7  # 0.5 s of frames 0.1 s apart, and the one that closes the window


def test_no_frames_and_nobody() -> None:
    assert list(Smooth(0.5)([])) == []
    assert np.array_equal(smoothed([frame_parse(0, [])], 0.5)[0].states.scores, frame_parse(0, []).states.scores)  # type: ignore[union-attr]

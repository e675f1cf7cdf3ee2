import pytest

from parsing.pose import pose_vocabulary
from parsing.vocabulary import PART_NAMES, Vocabulary, flip_permutation


def test_flip_swaps_sides_and_is_its_own_inverse() -> None:
    swap = flip_permutation(PART_NAMES)
    assert [PART_NAMES[i] for i in swap[:4]] == ["head", "hip", "right_arm", "left_arm"]
    assert swap[swap].tolist() == list(range(10))


def test_json_round_trip() -> None:
    vocabulary = pose_vocabulary(("walk", "run"))
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_allowed_follows_the_rows() -> None:
    vocabulary = Vocabulary("v", ("a", "b"), ("x", "y"), (("y",), ()), ())
    assert vocabulary.allowed.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("parts", "states", "rows"), [(("a", "a"), ("x",), ((), ())), (("a",), ("x",), ((), ())), (("a",), ("x",), (("z",),))]
)
def test_contradictions_are_refused(parts: tuple[str, ...], states: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match="vocabulary 'v'"):
        Vocabulary("v", parts, states, rows, ())

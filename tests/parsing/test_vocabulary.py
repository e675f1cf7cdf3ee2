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


def test_left_and_right_are_named_or_follow_from_the_names() -> None:
    by_name = Vocabulary("v", ("left_x", "y", "right_x", "left_z"), (), ((),) * 4, ())
    assert by_name.pairs == (("left_x", "right_x"),)
    assert by_name.swap.tolist() == [2, 1, 0, 3]
    assert by_name.kinds == [[0, 2], [1], [3]]
    named = Vocabulary("v", ("droite", "casque", "gauche"), (), ((),) * 3, (), pairs=(("gauche", "droite"),))
    assert named.swap.tolist() == [2, 1, 0]
    assert Vocabulary.from_json(named.to_json()) == named
    before = {name: value for name, value in by_name.to_json().items() if name != "pairs"}
    assert Vocabulary.from_json(before) == by_name


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["left", "z"]], "'z' is not among the names"),
        ([["left", "left"]], "'left' stands twice"),
        ([["left"]], "expected a list of two names each"),
        ("left", "expected a list of two names each"),
        ([["left", 1]], "expected a list of two names each"),
    ],
)
def test_pairs_that_do_not_fit(pairs: object, message: str) -> None:
    header = Vocabulary("v", ("left", "right"), (), ((),) * 2, ()).to_json() | {"pairs": pairs}
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json(header)


def test_allowed_follows_the_rows() -> None:
    vocabulary = Vocabulary("v", ("a", "b"), ("x", "y"), (("y",), ()), ())
    assert vocabulary.allowed.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(
    ("parts", "states", "rows"), [(("a", "a"), ("x",), ((), ())), (("a",), ("x",), ((), ())), (("a",), ("x",), (("z",),))]
)
def test_contradictions_are_refused(parts: tuple[str, ...], states: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    with pytest.raises(ValueError, match="vocabulary 'v'"):
        Vocabulary("v", parts, states, rows, ())


def test_exclusive_states_travel_and_are_none_before() -> None:
    words = Vocabulary("v", ("leg", "hat"), ("stand", "sit"), (("stand", "sit"), ()), (), exclusive=((("stand", "sit"),), ()))
    assert Vocabulary.from_json(words.to_json()) == words
    before = {name: value for name, value in words.to_json().items() if name != "exclusive"}
    assert Vocabulary.from_json(before).exclusive == ((), ())


@pytest.mark.parametrize(
    ("exclusive", "message"),
    [
        ({"leg": [["stand"]]}, "expected two or more of stand, sit"),
        ({"leg": [["stand", "stand"]]}, "expected two or more"),
        ({"leg": [["stand", "fly"]]}, "expected two or more"),
        ({"arm": [["stand", "sit"]]}, "expected an object of lists"),
        ({"leg": [[1, 2]]}, "expected an object of lists"),
        ({"leg": "stand"}, "expected an object of lists"),
        (["leg"], "expected an object of lists"),
    ],
)
def test_exclusive_states_that_do_not_fit(exclusive: object, message: str) -> None:
    header = Vocabulary("v", ("leg",), ("stand", "sit"), (("stand", "sit"),), ()).to_json() | {"exclusive": exclusive}
    with pytest.raises(ValueError, match=message):
        Vocabulary.from_json(header)

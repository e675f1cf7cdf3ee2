from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import frame

from parsing.types import Array, Frame, ModelFacts
from recognizers.ensemble import Ensemble, lead
from recognizers.scores import SavedScores, mixed

FRAMES = {i: frame(i) for i in range(10)}


class Said:
    """A recognizer that looks at one frame and always says the same."""

    facts = ModelFacts("recognizer", "said", None, "{}")

    def __init__(self, scores: Sequence[float], looks_at: int = 0) -> None:
        self.scores, self.looks_at, self.seen = scores, looks_at, list[int]()
        self.action_names = tuple("abcdefgh"[: len(scores)])

    def sample(self, num_frames: int) -> list[Array]:
        return [np.array([min(self.looks_at, num_frames - 1)])]

    def __call__(self, clips: Sequence[Sequence[Frame]]) -> Array:
        self.seen += [f.index for clip in clips for f in clip]
        return np.array(self.scores, np.float32)


def test_mixing_by_hand() -> None:
    # Geometric means: sqrt(0.2 * 0.6) and sqrt(0.8 * 0.4), brought to sum to one.
    verdict = Ensemble([Said([0.2, 0.8]), Said([0.6, 0.4])])(FRAMES, 10)
    one, two = np.sqrt(0.12), np.sqrt(0.32)
    assert verdict.scores == pytest.approx([one / (one + two), two / (one + two)], abs=1e-6)
    assert verdict.asked == (True, True)
    # Three to one: 0.2^(3/4) * 0.6^(1/4) against 0.8^(3/4) * 0.4^(1/4).
    verdict = Ensemble([Said([0.2, 0.8]), Said([0.6, 0.4])], [3, 1])(FRAMES, 10)
    one, two = 0.2**0.75 * 0.6**0.25, 0.8**0.75 * 0.4**0.25
    assert verdict.scores == pytest.approx([one / (one + two), two / (one + two)], abs=1e-6)


def test_mixing_is_that_of_saved_logits() -> None:
    random = np.random.default_rng(0)
    logits, weights = random.normal(0, 2, (3, 1, 5)), np.array([0.5, 0.2, 0.3])
    nothing = np.zeros(1)
    saved = [SavedScores("m", np.array(["v"]), np.array(list("abcde")), nothing, nothing, one, nothing) for one in logits]
    expected = np.exp(mixed(saved, weights))[0]
    # A constant that one network adds to all its logits changes nothing.
    members = [Said((np.exp(one[0] + 7) / np.exp(one[0] + 7).sum()).tolist()) for one in logits]
    assert Ensemble(members, weights.tolist())(FRAMES, 10).scores == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_one_member_speaks_for_itself() -> None:
    assert Ensemble([Said([0.1, 0.0, 0.9])])(FRAMES, 10).scores == pytest.approx([0.1, 0, 0.9], abs=1e-6)


def test_certainty_outweighs_but_does_not_break() -> None:
    verdict = Ensemble([Said([1.0, 0.0]), Said([0.0, 1.0])])(FRAMES, 10)
    assert verdict.scores == pytest.approx([0.5, 0.5])
    assert Ensemble([Said([1.0, 0.0]), Said([0.2, 0.8])])(FRAMES, 10).scores[0] > 0.99


def test_asking_ends_once_the_best_leads() -> None:
    # Leads after one, two and three members: 0.2; with 0.6 and 0.4 against 0.9 and 0.1, sqrt(0.54) against sqrt(0.04): 0.572.
    members = [Said([0.6, 0.4]), Said([0.9, 0.1]), Said([0.5, 0.5])]
    asked = {margin: Ensemble(members, None, margin)(FRAMES, 10).asked for margin in (None, 0.1, 0.2001, 0.57, 0.58)}
    assert asked[None] == (True, True, True)
    assert asked[0.1] == (True, False, False)
    assert asked[0.2001] == asked[0.57] == (True, True, False)
    assert asked[0.58] == (True, True, True)
    # Who was spared does not count: the scores are those of the first alone.
    assert Ensemble(members, [0.1, 0.5, 0.4], 0.1)(FRAMES, 10).scores == pytest.approx([0.6, 0.4], abs=1e-6)


def test_without_weight_a_member_is_neither_asked_nor_given_frames() -> None:
    silent, speaks = Said([1.0, 0.0], looks_at=7), Said([0.3, 0.7], looks_at=4)
    ensemble = Ensemble([silent, speaks], [0, 2])
    assert ensemble.indices(10) == {4}
    verdict = ensemble({4: FRAMES[4]}, 10)
    assert verdict.asked == (False, True)
    assert verdict.scores == pytest.approx([0.3, 0.7], abs=1e-6)
    assert (silent.seen, speaks.seen) == ([], [4])


def test_members_get_the_frames_they_sample() -> None:
    members = [Said([0.5, 0.5], looks_at=2), Said([0.5, 0.5], looks_at=30)]
    ensemble = Ensemble(members)
    assert ensemble.indices(10) == {2, 9}
    ensemble(FRAMES, 10)
    assert [member.seen for member in members] == [[2], [9]]


def test_leads_by_hand() -> None:
    assert lead(np.array([0.2, 0.5, 0.3])) == pytest.approx(0.2)
    assert lead(np.array([0.5, 0.5])) == 0
    assert lead(np.array([1.0])) == 1


def test_facts_tell_how_members_are_mixed() -> None:
    facts = Ensemble([Said([1.0]), Said([1.0])], [1, 3], 0.5).facts
    assert facts == replace(facts, stage="recognizers", config='{"weights": [0.25, 0.75], "exit_margin": 0.5}')


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [0.0, 0.0]])
def test_weights_that_do_not_fit(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights of 2 recognizers"):
        Ensemble([Said([1.0]), Said([1.0])], weights)


def test_nobody_to_ask_and_vectors_that_differ() -> None:
    with pytest.raises(ValueError, match="nothing to say"):
        Ensemble([])(FRAMES, 10)
    with pytest.raises(ValueError, match="one length"):
        Ensemble([Said([0.5, 0.5]), Said([1.0])])(FRAMES, 10)

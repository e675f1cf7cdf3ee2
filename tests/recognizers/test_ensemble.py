from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from builders import frame

from parsing.types import ActionScores, Array, Frame, ModelFacts
from recognizers.ensemble import Ensemble, lead
from recognizers.scores import SavedScores, mixed

FRAMES = {i: frame(i) for i in range(10)}


class Said:
    """A recognizer that looks at one frame and always gives the same scores."""

    def __init__(self, scores: Sequence[float], looks_at: int = 0, multi_label: bool = False) -> None:
        self.scores, self.looks_at, self.multi_label, self.seen = scores, looks_at, multi_label, list[int]()
        self.background, self.least_frames = (), 1
        self.action_names = tuple("abcdefgh"[: len(scores)])
        self.models = (ModelFacts("recognizer", f"said {scores} {looks_at}", None, "{}"),)

    def indices(self, num_frames: int) -> Array:
        return np.array([min(self.looks_at, num_frames - 1)])

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        self.seen += [frames[int(i)].index for i in self.indices(num_frames)]
        return ActionScores.of(np.array(self.scores), self.multi_label, self.models)


def test_mixing_by_hand() -> None:
    # Geometric means: sqrt(0.2 * 0.6) and sqrt(0.8 * 0.4), brought to sum to one.
    found = Ensemble([Said([0.2, 0.8]), Said([0.6, 0.4])])(FRAMES, 10)
    one, two = np.sqrt(0.12), np.sqrt(0.32)
    assert found.probabilities == pytest.approx([one / (one + two), two / (one + two)], abs=1e-6)
    assert found.holds.tolist() == [False, True]
    # Three to one: 0.2^(3/4) * 0.6^(1/4) against 0.8^(3/4) * 0.4^(1/4).
    found = Ensemble([Said([0.2, 0.8]), Said([0.6, 0.4])], [3, 1])(FRAMES, 10)
    one, two = 0.2**0.75 * 0.6**0.25, 0.8**0.75 * 0.4**0.25
    assert found.probabilities == pytest.approx([one / (one + two), two / (one + two)], abs=1e-6)


def test_multi_label_members_are_mixed_action_by_action() -> None:
    # Odds: sqrt(4 * 9) = 6, and sqrt(1/4 * 1) = 1/2.
    members = [Said([0.8, 0.2], multi_label=True), Said([0.9, 0.5], multi_label=True)]
    found = Ensemble(members)(FRAMES, 10)
    assert found.probabilities == pytest.approx([6 / 7, 1 / 3], abs=1e-6)
    assert found.holds.tolist() == [True, False]
    certain = Ensemble([Said([1.0, 0.0], multi_label=True)])(FRAMES, 10)
    assert certain.probabilities == pytest.approx([1, 0], abs=1e-6)


def test_mixing_is_that_of_saved_logits() -> None:
    random = np.random.default_rng(0)
    logits, weights = random.normal(0, 2, (3, 1, 5)), np.array([0.5, 0.2, 0.3])
    unknown = np.full((1, 5), -1)
    columns = np.array(["v"]), np.array(list("abcde")), unknown
    saved = [SavedScores("m", *columns, one, np.zeros(1), np.zeros(1, bool), False) for one in logits]
    expected = mixed(saved, weights)[0]
    # A constant that one network adds to all its logits changes nothing.
    members = [Said((np.exp(one[0] + 7) / np.exp(one[0] + 7).sum()).tolist()) for one in logits]
    assert Ensemble(members, weights.tolist())(FRAMES, 10).probabilities == pytest.approx(expected / expected.sum(), abs=1e-5)


def test_one_member_keeps_its_scores() -> None:
    alone = Ensemble([Said([0.1, 0.0, 0.9])])
    assert alone(FRAMES, 10).probabilities == pytest.approx([0.1, 0, 0.9], abs=1e-6)
    assert alone(FRAMES, 10).models == alone.models == alone.members[0].models


def test_certainty_outweighs_but_does_not_break() -> None:
    found = Ensemble([Said([1.0, 0.0]), Said([0.0, 1.0])])(FRAMES, 10)
    assert found.probabilities == pytest.approx([0.5, 0.5])
    assert Ensemble([Said([1.0, 0.0]), Said([0.2, 0.8])])(FRAMES, 10).probabilities[0] > 0.99


def test_no_further_member_runs_once_the_best_action_leads() -> None:
    # Leads after one, two and three members: 0.2; with 0.6 and 0.4 against 0.9 and 0.1, sqrt(0.54) against sqrt(0.04): 0.572.
    members = [Said([0.6, 0.4]), Said([0.9, 0.1]), Said([0.5, 0.5])]
    runs = {}
    for margin in (None, 0.1, 0.2001, 0.57, 0.58):
        ensemble = Ensemble(members, None, margin)
        found = ensemble(FRAMES, 10)
        runs[margin] = len(found.models) - 1
        assert found.models == (*ensemble.models[: runs[margin]], ensemble.facts)
    assert runs == {None: 3, 0.1: 1, 0.2001: 2, 0.57: 2, 0.58: 3}
    # A member that did not run does not count: the scores are those of the first alone.
    assert Ensemble(members, [0.1, 0.5, 0.4], 0.1)(FRAMES, 10).probabilities == pytest.approx([0.6, 0.4], abs=1e-6)


def test_without_weight_a_member_neither_runs_nor_wants_frames() -> None:
    silent, runs = Said([1.0, 0.0], looks_at=7), Said([0.3, 0.7], looks_at=4)
    ensemble = Ensemble([silent, runs], [0, 2])
    assert ensemble.indices(10).tolist() == [4]
    found = ensemble({4: FRAMES[4]}, 10)
    assert found.models == (*runs.models, ensemble.facts)
    assert ensemble.models == (*silent.models, *runs.models, ensemble.facts)
    assert found.probabilities == pytest.approx([0.3, 0.7], abs=1e-6)
    assert (silent.seen, runs.seen) == ([], [4])


def test_members_get_the_frames_they_sample() -> None:
    members = [Said([0.5, 0.5], looks_at=2), Said([0.5, 0.5], looks_at=30)]
    ensemble = Ensemble(members)
    assert ensemble.indices(10).tolist() == [2, 9]
    ensemble(FRAMES, 10)
    assert [member.seen for member in members] == [[2], [9]]


def test_leads_by_hand() -> None:
    assert lead(np.array([0.2, 0.5, 0.3])) == pytest.approx(0.2)
    assert lead(np.array([0.5, 0.5])) == 0
    assert lead(np.array([1.0])) == 1
    assert lead(np.array([[0.2, 0.8], [0.5, 0.5]])) == pytest.approx([0.6, 0])


def test_facts_tell_how_members_are_mixed() -> None:
    facts = Ensemble([Said([1.0]), Said([1.0])], [1, 3], 0.5).facts
    assert facts == replace(facts, stage="recognizers", config='{"weights": [0.25, 0.75], "exit_margin": 0.5}')


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [0.0, 0.0]])
def test_weights_that_do_not_fit(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights of 2 recognizers"):
        Ensemble([Said([1.0]), Said([1.0])], weights)


def test_members_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="at least one recognizer"):
        Ensemble([])
    with pytest.raises(ValueError, match="differ in their actions"):
        Ensemble([Said([0.5, 0.5]), Said([1.0])])
    with pytest.raises(ValueError, match="differ in their actions"):
        Ensemble([Said([0.5]), Said([0.5], multi_label=True)])
    with pytest.raises(ValueError, match="no best action whose lead"):
        Ensemble([Said([0.5], multi_label=True)], None, 0.5)

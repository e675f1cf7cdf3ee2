"""Losses, the decoder and votes, against values worked by hand."""

import math

import numpy as np
import pytest
import torch

from parsing.states.decoding import PRIOR_COUNT, StateDecoder, exclude
from parsing.states.losses import StateLossConfig, many_states_loss, one_state_loss
from parsing.states.voting import vote
from parsing.vocabulary import Vocabulary

PLAIN = StateLossConfig()
# One person, two parts, three states; the second part cannot take the third.
LOGITS = torch.tensor([[[2.0, 0.0, -1.0], [1.0, 0.0, -torch.inf]]])
HOLDS = torch.tensor([[[True, False, True], [False, True, False]]])
KNOWN = torch.ones_like(HOLDS)
FREQUENCY = torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])


def test_several_states_share_the_target_of_a_softmax() -> None:
    first, second = LOGITS[0, 0].log_softmax(0), torch.tensor([1.0, 0.0]).log_softmax(0)
    expected = (-(first[0] + first[2]) / 2 - second[1]) / 2
    assert one_state_loss(LOGITS, HOLDS, KNOWN, FREQUENCY, PLAIN).item() == pytest.approx(expected.item(), rel=1e-5)


def test_parts_without_a_known_state_do_not_count() -> None:
    known = KNOWN.clone()
    known[0, 1] = False
    first = LOGITS[0, 0].log_softmax(0)
    assert one_state_loss(LOGITS, HOLDS, known, FREQUENCY, PLAIN).item() == pytest.approx(-(first[0] + first[2]).item() / 2, rel=1e-5)
    nothing = one_state_loss(LOGITS, HOLDS, torch.zeros_like(KNOWN), FREQUENCY, PLAIN)
    assert nothing.item() == 0
    assert many_states_loss(LOGITS, HOLDS, torch.zeros_like(KNOWN), FREQUENCY, PLAIN).item() == 0


def test_focal_weights_what_is_sure_down() -> None:
    logits = torch.tensor([[[3.0, 0.0]]])
    holds, known = torch.tensor([[[True, False]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    p = math.exp(3) / (math.exp(3) + 1)
    found = one_state_loss(logits, holds, known, torch.ones(1, 2), StateLossConfig(kind="focal", gamma=2.0))
    assert found.item() == pytest.approx((1 - p) ** 2 * -math.log(p), rel=1e-4)


def test_sigmoid_losses_by_hand() -> None:
    logits, holds, known = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[True, False]]]), torch.ones(1, 1, 2, dtype=torch.bool)
    p = 1 / (1 + math.exp(-2))
    plain = (math.log(2) - math.log(1 - p)) / 2
    assert many_states_loss(logits, holds, known, torch.ones(1, 2), PLAIN).item() == pytest.approx(plain, rel=1e-5)
    shifted = p - 0.05
    asymmetric = (math.log(2) - shifted**4 * math.log(1 - shifted)) / 2
    settings = StateLossConfig(kind="asymmetric")
    assert many_states_loss(logits, holds, known, torch.ones(1, 2), settings).item() == pytest.approx(asymmetric, rel=1e-4)


def test_logit_adjustment_asks_more_of_common_states() -> None:
    holds = torch.tensor([[[True, False, False], [True, False, False]]])
    adjusted = StateLossConfig(logit_adjustment=1.0)
    logits = torch.zeros(1, 2, 3)
    found = one_state_loss(logits, holds, KNOWN, torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), adjusted)
    assert found.item() == pytest.approx((math.log(1 / 0.5) + math.log(1 / 0.25)) / 2, rel=1e-5)
    rare = torch.tensor([[0.01, 0.25, 0.25], [0.01, 0.25, 0.25]])
    assert many_states_loss(logits, holds, KNOWN, rare, adjusted) > many_states_loss(logits, holds, KNOWN, rare, PLAIN)


def test_a_new_decoder_changes_nothing() -> None:
    scores = torch.rand(3, 2, 4)
    assert torch.allclose(StateDecoder(2, 5, 4)(scores, torch.rand(3, 5)), scores, atol=1e-6)
    assert torch.allclose(StateDecoder(2, 0, 4)(scores, None), scores, atol=1e-6)


def test_the_prior_counts_by_action_and_shrinks_to_the_part() -> None:
    decoder = StateDecoder(1, 2, 1)
    holds = np.array([True] * 6 + [False] * 2).reshape(8, 1, 1)
    decoder.fit_prior(holds, np.ones_like(holds), np.array([0] * 6 + [-1] * 2))
    assert decoder.prior[2].item() == pytest.approx(0.75)
    assert decoder.prior[0].item() == pytest.approx((6 + PRIOR_COUNT * 0.75) / (6 + PRIOR_COUNT))
    assert decoder.prior[1].item() == pytest.approx(0.75)  # no person of this action
    decoder.prior_weight.fill_(0.5)
    mixed = decoder(torch.full((1, 1, 1), 0.1), torch.tensor([[0.0, 1.0]]))
    assert mixed.item() == pytest.approx((0.1 + 0.75) / 2)


def test_fitting_finds_a_prior_that_helps_and_leaves_one_that_does_not() -> None:
    random = np.random.default_rng(0)
    actions = random.integers(0, 2, 200)
    holds = np.stack([actions == 0, actions == 1], 1)[:, None]  # the action alone decides
    known = np.ones_like(holds)
    decoder = StateDecoder(1, 2, 2)
    decoder.fit_prior(holds, known, actions)
    told = torch.nn.functional.one_hot(torch.from_numpy(actions), 2).float()
    decoder.fit(torch.from_numpy(random.random((200, 1, 2))).float(), told, holds, known, one_state=True)
    assert decoder.prior_weight > 0.3
    decoder.fit(torch.from_numpy(holds).float(), told, holds, known, one_state=True)
    assert decoder.prior_weight == 0


def test_thresholds_become_one_half_and_rare_states_are_drawn_to_it() -> None:
    scores = np.concatenate([np.linspace(0.0, 0.19, 200), np.linspace(0.21, 0.4, 200)]).reshape(-1, 1, 1)
    holds = (np.arange(400) >= 200).reshape(-1, 1, 1)
    decoder = StateDecoder(1, 0, 1)
    decoder.fit_thresholds(scores, holds, np.ones_like(holds))
    assert decoder.thresholds.item() == pytest.approx((200 * 0.2 + 10 * 0.5) / 210, abs=0.002)
    moved = decoder(torch.tensor([[[decoder.thresholds.item()]]]), None)
    assert moved.item() == pytest.approx(0.5)
    decoder.fit_thresholds(scores[198:202], holds[198:202], np.ones((4, 1, 1), bool))
    assert decoder.thresholds.item() > 0.4
    decoder.fit_thresholds(scores[:5], holds[:5], np.ones((5, 1, 1), bool))
    assert decoder.thresholds.item() == 0.5  # one class only: nothing to fit


def test_votes_stay_within_a_group_and_ignore_hidden_parts() -> None:
    scores = np.array([[[1.0, 0], [0.0, 1], [0.0, 1]], [[1.0, 0], [1.0, 0], [1.0, 0]]])
    visible = np.array([[True, True, True], [True, False, False]])
    mixed = vote(scores, visible, [[0], [1, 2]], 0.5)
    np.testing.assert_allclose(mixed[:, 0], [[1, 0], [1, 0]])
    np.testing.assert_allclose(mixed[1, 1], [0.5, 0.5])  # its own, and what the two visible arms say
    np.testing.assert_allclose(vote(scores, visible, [[0], [1, 2]], 0.0), scores)
    assert vote(np.zeros((0, 3, 2)), np.zeros((0, 3), bool), [[0], [1, 2]], 0.5).shape == (0, 3, 2)


def test_of_states_that_exclude_each_other_the_best_leaves_the_rest() -> None:
    words = Vocabulary("v", ("leg",), ("stand", "sit", "lift"), (("stand", "sit", "lift"),), (), exclusive=((("stand", "sit"),),))
    scores = np.float32([[[0.9, 0.7, 0.8]], [[0.2, 0.3, 0.9]], [[0.6, 0.6, 0.0]]])
    found = exclude(scores, words)
    np.testing.assert_allclose(found, [[[0.9, 0.1, 0.8]], [[0.2, 0.3, 0.9]], [[0.6, 0.4, 0.0]]], atol=1e-6)
    assert scores[0, 0, 1] == np.float32(0.7)  # what came in stays as it was
    assert exclude(scores[:0], words).shape == (0, 1, 3)

"""What the network sees of tracks, and what it makes of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from part_parses import ACTIONS, HW, PARTS, STATES, VOCABULARY, nobody, player, track

from parsing.errors import InputError
from parsing.tracks import Tracklet, tracklets
from parsing.types import Detections, Parts, PartStates
from parsing.vocabulary import Vocabulary
from recognizers.labels import ActionLabels
from recognizers.parts.features import GEOMETRY, PERSON, Grid, TrackFeatures, nothing, track_features
from recognizers.parts.network import PartTracksArchitecture, PartTracksNet
from recognizers.parts.stage import PartTracks, stacked, window_pieces

GRID = Grid(steps=16, step_s=0.1, most_gap_s=0.5)
TINY = PartTracksArchitecture(GRID, most_persons=2, part_dim=6, dim=12, depth=2, kernels=(3, 5), dropout=0.0)
HAND, RACKET = PARTS.index("right_glove"), PARTS.index("racket")


def network() -> PartTracksNet:
    torch.manual_seed(0)
    return PartTracksNet(TINY, len(PARTS), len(STATES), len(ACTIONS)).eval()


def stage() -> PartTracks:
    return PartTracks(network(), VOCABULARY, ActionLabels(ACTIONS), "cpu")


def test_parts_lie_around_their_person_in_its_heights() -> None:
    found = track_features(track(np.arange(8) / 10), GRID, 0.0)
    assert found.parts.shape == (16, 4, GEOMETRY + 2)
    assert found.person.shape == (16, PERSON)
    visible, score, x, y, width, height, _, _, opened, fist = found.parts[0, HAND]
    assert (visible, score, width, height) == pytest.approx((1, 0.5, 0.1, 0.1))
    assert (x, y, opened, fist) == pytest.approx((0.2, -0.05, 0, 0.75))
    assert found.parts[:8, RACKET, 7] == pytest.approx(np.full(8, -0.5), abs=1e-5)  # heights a second, upwards
    assert not found.parts[:, PARTS.index("left_glove")].any()  # hidden
    assert found.person[0, :6] == pytest.approx([1, 0.9, 100 / 240, 85 / 320 - 0.5, 130 / 240 - 0.5, 0.5])
    assert not found.parts[8:].any()
    assert not found.person[8:].any()


def test_seconds_count_not_frames() -> None:
    fast, slow = (track_features(track(np.arange(n) / rate), GRID, 0.0) for n, rate in ((31, 30), (11, 10)))
    assert fast.parts == pytest.approx(slow.parts, abs=1e-4)
    assert fast.person == pytest.approx(slow.person, abs=1e-4)
    shifted = track_features(track(np.arange(11) / 10), GRID, 0.0)
    later = Tracklet(np.arange(11) / 10 + 7, *_columns(track(np.arange(11) / 10)), HW)
    assert track_features(later, GRID, 7.0).parts == pytest.approx(shifted.parts, abs=1e-4)


def _columns(one: Tracklet) -> tuple[Detections, Parts, PartStates]:
    return one.persons, one.parts, one.states


def test_short_gaps_are_bridged_and_long_ones_are_not() -> None:
    bridged = track_features(track([0.0, 0.1, 0.5, 0.6]), GRID, 0.0)
    assert bridged.person[:7, 0].all()
    assert bridged.parts[3, RACKET, 3] == pytest.approx((bridged.parts[1, RACKET, 3] + bridged.parts[5, RACKET, 3]) / 2)
    torn = track_features(track([0.0, 0.1, 0.9, 1.0]), GRID, 0.0)
    assert torn.person[:, 0].astype(bool).tolist() == [True, True] + [False] * 7 + [True, True] + [False] * 5
    assert abs(torn.parts[:, RACKET, 7]).max() == pytest.approx(0.5, abs=1e-5)  # nothing jumps over the gap


def test_a_part_that_hides_for_long_is_not_made_up() -> None:
    one = track(np.arange(12) / 10)
    visible = one.parts.visible.copy()
    visible[3:9, HAND] = False
    hidden = Tracklet(
        one.times_s, one.persons, Parts(one.parts.xyxy * visible[..., None], one.parts.scores * visible, visible), one.states, HW
    )
    found = track_features(hidden, GRID, 0.0)
    assert found.parts[:12, HAND, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1]
    assert found.parts[:12, RACKET, 0].all()


def test_a_track_of_one_frame_stands_still() -> None:
    found = track_features(track([3.2]), GRID, 3.2)
    assert found.person[:, 0].sum() == 1
    assert found.person[0, 0] == 1
    assert not found.person[0, 6:9].any()
    assert not found.parts[..., 6:8].any()
    assert found.parts[0, RACKET, 0] == 1


def test_a_mirror_turns_round_and_back() -> None:
    found = track_features(track(np.arange(8) / 10, left=20.0), GRID, 0.0)
    mirrored = found.mirrored(VOCABULARY.swap)
    assert mirrored.parts[0, PARTS.index("left_glove"), 2] == pytest.approx(-0.2)
    assert mirrored.parts[0, RACKET, 2] == pytest.approx(-found.parts[0, RACKET, 2])
    assert mirrored.person[0, [9, 11]] == pytest.approx(found.person[0, [11, 9]])
    again = mirrored.mirrored(VOCABULARY.swap)
    assert (again.parts == found.parts).all()
    assert (again.person == found.person).all()


def test_tracks_are_found_in_key_frames_the_most_prominent_first() -> None:
    small, large = ([player(i, i / 10, 0.5, track_id=t) for i in range(n)] for t, n in ((7, 2), (8, 4)))
    frames = [one for pair in zip(large, [*small, nobody(2), nobody(3)], strict=True) for one in pair]
    found = tracklets([replace(frame, key=frame.index != 1) for frame in frames], HW)
    assert [len(one) for one in found] == [3, 1]
    assert tracklets([nobody(0)], HW) == []
    lost = [player(i, i / 10, 0.5, track_id=-1) for i in range(3)]
    assert [len(one) for one in tracklets(lost, HW)] == [1, 1, 1]


def test_a_tracklet_refuses_times_that_do_not_rise() -> None:
    one = track([0.0, 0.1])
    with pytest.raises(ValueError, match="expected rising times"):
        Tracklet(np.array([0.1, 0.1]), one.persons, one.parts, one.states, HW)
    with pytest.raises(ValueError, match="expected rising times"):
        one.select(np.zeros(0, int))


def features(*lefts: float) -> list[TrackFeatures]:
    return [track_features(track(np.arange(8) / 10, left=left), GRID, 0.0) for left in lefts]


def test_persons_have_no_order_and_empty_places_do_not_count() -> None:
    here, there = features(20.0, 200.0)
    net = network()
    with torch.inference_mode():
        logits = [net(*map(torch.from_numpy, stacked([piece]))) for piece in ([here, there], [there, here])]
        assert logits[0] == pytest.approx(logits[1], abs=1e-5)
        one, padded = stacked([[here]]), stacked([[here], [there, here]])
        assert net(*map(torch.from_numpy, padded))[:1].numpy() == pytest.approx(net(*map(torch.from_numpy, one)).numpy(), abs=1e-5)
        alone = [net(*map(torch.from_numpy, stacked([[person]]))) for person in (here, there)]
    low, high = torch.minimum(*alone), torch.maximum(*alone)
    assert ((logits[0] >= low - 1e-5) & (logits[0] <= high + 1e-5)).all()  # a mean of both


def test_nobody_has_logits_of_its_own_and_gradients_stay_finite() -> None:
    net = network()
    empty = nothing(GRID, len(PARTS), len(STATES))
    logits = net(*map(torch.from_numpy, stacked([[empty], features(20.0)])))
    assert (logits[0] == net.nobody).all()
    assert (logits[1] != net.nobody).any()
    logits.sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


def test_windows_of_any_length() -> None:
    recognizer = stage()
    short, long, single = track(np.arange(8) / 10), track(np.arange(60) / 10, speed=0.1), track([5.0])
    assert [len(window_pieces(window, TINY, VOCABULARY)) for window in ([short], [long], [single], [])] == [1, 4, 1, 1]
    found = recognizer([[short], [long], [single], [], [short, long, single]])
    assert [scores.probabilities.sum() for scores in found] == pytest.approx([1] * 5)
    assert found[0].probabilities == pytest.approx(recognizer([[short]])[0].probabilities)
    # Two pieces: a person who is in one of them is not missed in the other, where nobody counts.
    early, late = track([0.0, 0.1]), Tracklet(np.array([4.0, 4.1]), *_columns(track([0.0, 0.1])), HW)
    apart = recognizer.logits([[early, late]])
    assert apart == pytest.approx((recognizer.logits([[early]]) + recognizer.logits([[late]])) / 2, abs=1e-5)
    assert recognizer([]) == []


def test_background_never_holds() -> None:
    recognizer = PartTracks(network(), VOCABULARY, ActionLabels(ACTIONS, background=ACTIONS[:1]), "cpu")
    with torch.no_grad():
        recognizer.network.nobody.copy_(torch.tensor([2.0, 0.0]))
    assert not recognizer([[]])[0].holds.any()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (replace(VOCABULARY, parts=("hat", *PARTS[1:]), pairs=None), "differ in their parts: 'helmet'"),
        (replace(VOCABULARY, parts=PARTS[::-1], part_states=VOCABULARY.part_states[::-1]), "differ in their parts: their order"),
        (replace(VOCABULARY, states=(*STATES, "thumb")), "differ in their states: 'thumb'"),
    ],
)
def test_other_parts_or_states_are_refused(other: Vocabulary, message: str) -> None:
    with pytest.raises(InputError, match=f"part_actions: its weights and the pipeline {message}"):
        stage().check(other)


@pytest.mark.parametrize(("options", "message"), [({"kernels": (4,)}, "expected odd ones"), ({"dim": 13, "kernels": (3, 5)}, "a multiple")])
def test_architectures_that_cannot_be(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PartTracksArchitecture(**options)  # type: ignore[arg-type]

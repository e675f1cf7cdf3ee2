"""Thresholds and groups, by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit

from parsing.errors import InputError
from parsing.measures.f1 import f1_figures
from recognizers.groups import ExclusiveGroups, decode
from recognizers.thresholds import cross_fitted_thresholds, fit_thresholds, read_thresholds

TINYVIRAT = (
    "Opening", "Interacts", "Pull", "activity_carrying", "Entering", "vehicle_moving", "Exiting", "Loading", "Talking",
    "activity_running", "vehicle_turning_left", "vehicle_stopping", "Riding", "Closing", "activity_walking", "Push",
    "specialized_using_tool", "vehicle_starting", "specialized_miscellaneous", "activity_standing", "Transport_HeavyCarry",
    "activity_gesturing", "vehicle_turning_right", "specialized_talking_phone", "specialized_texting_phone", "Misc",
)  # fmt: skip
GROUPS = Path(__file__).parents[2] / "configs/tinyvirat/groups.yaml"


def test_thresholds_separate_and_rare_ones_shrink() -> None:
    """Both classes are separable, `common` at high scores, `rare` at low ones that the common threshold misses."""
    truth = np.zeros((200, 2), np.int8)
    truth[:100, 0], truth[:4, 1] = 1, 1
    scores = np.where(truth > 0, [0.8, 0.2], [0.4, 0.05])
    own = fit_thresholds(scores, truth, shrinkage=0)
    assert own.values == pytest.approx(expit([(logit(0.8) + logit(0.4)) / 2, (logit(0.2) + logit(0.05)) / 2]))
    assert f1_figures(scores > own.values, truth, "ab")["macro_f1"] == 1
    shrunk = fit_thresholds(scores, truth, shrinkage=20)
    for c, n in ((0, 100), (1, 4)):
        w = n / (n + 20)
        assert logit(shrunk.values[c]) == pytest.approx(w * logit(own.values[c]) + (1 - w) * logit(shrunk.common))
    assert abs(logit(shrunk.values[1]) - logit(shrunk.common)) < abs(logit(own.values[1]) - logit(own.common))


def test_a_class_that_no_clip_shows_takes_the_common_threshold() -> None:
    scores = np.array([[0.9, 0.5], [0.2, 0.6]])
    for shrinkage in (0.0, 20.0):
        fitted = fit_thresholds(scores, np.array([[1, 0], [0, 0]]), shrinkage)
        assert fitted.values[1] == pytest.approx(fitted.common)
    saturated = fit_thresholds(np.array([[1.0], [0.0]]), np.array([[1], [0]]))
    assert 0 < saturated.values[0] < 1


def test_nothing_is_fitted_without_labels() -> None:
    scores, truth = np.full((3, 2), 0.5), np.array([[1, 0], [-1, -1], [-1, -1]])
    with pytest.raises(InputError, match="2 of 3 clips have no labels"):
        fit_thresholds(scores, truth)
    with pytest.raises(InputError, match="2 of 3 clips have no labels"):
        cross_fitted_thresholds(scores, truth, np.arange(3))
    with pytest.raises(InputError, match="0 of 0 clips have no labels"):
        fit_thresholds(scores[:0], truth[:0])


def test_a_single_clip_has_no_other_to_fit_on() -> None:
    assert cross_fitted_thresholds(np.array([[0.9, 0.1]]), np.array([[1, 0]]), np.zeros(1)).tolist() == [[0.5, 0.5]]


def test_cross_fitted_thresholds_never_saw_their_clips() -> None:
    random = np.random.default_rng(0)
    truth = (random.random((300, 3)) < 0.2).astype(np.int8)
    scores, folds = random.random((300, 3)), np.arange(300) % 5
    found = cross_fitted_thresholds(scores, truth, folds, 5)
    np.testing.assert_array_equal(found[folds == 2], np.tile(fit_thresholds(scores[folds != 2], truth[folds != 2], 5).values, (60, 1)))
    changed = truth.copy()
    changed[folds == 2] ^= 1
    again = cross_fitted_thresholds(scores, changed, folds, 5)
    np.testing.assert_array_equal(found[folds == 2], again[folds == 2])
    assert (found[folds == 1] != again[folds == 1]).any()
    # Scores of chance: what thresholds gain on the clips of their fit is not there on others.
    flattered = f1_figures(scores > fit_thresholds(scores, truth, 0).values, truth, "abc")["macro_f1"]
    honest = f1_figures(scores > cross_fitted_thresholds(scores, truth, folds, 0), truth, "abc")["macro_f1"]
    assert honest < flattered


def test_threshold_files_come_back_and_fit_one_set_of_classes(tmp_path: Path) -> None:
    path, ids = tmp_path / "t.yaml", ["00001", "00002"]
    fitted = fit_thresholds(np.array([[0.9, 0.1], [0.3, 0.6]]), np.eye(2, dtype=np.int8))
    fitted.save(path, ["a", "b"], ids, {"net": 0.25, "other": 0.75}, "probabilities")
    again = read_thresholds(path, ["b", "a"], ["00003"])
    assert again.values(["b", "a"]) == pytest.approx(fitted.values[::-1], abs=1e-6)
    assert again.mix == "probabilities"
    assert again.weights(["other", "net"], path).tolist() == [0.75, 0.25]
    with pytest.raises(InputError, match=r"t\.yaml: fitted on these 2 clips"):
        read_thresholds(path, ["a", "b"], ids[::-1])
    with pytest.raises(InputError, match="threshold of an unknown class 'a'; valid: b, c"):
        read_thresholds(path, ["b", "c"], [])
    with pytest.raises(InputError, match="no threshold of class 'c'"):
        read_thresholds(path, ["a", "b", "c"], [])
    with pytest.raises(InputError, match="fitted without the scores of 'nets'; did you mean 'net'"):
        again.weights(["nets", "other"], path)
    with pytest.raises(InputError, match="fitted with the scores of 'other' too"):
        again.weights(["net"], path)
    path.write_text(path.read_text().replace("num_clips: 2", "num_clips: two"))
    with pytest.raises(InputError, match=r"num_clips: .*found 'two'"):
        read_thresholds(path, ["a", "b"], [])


def test_groups_keep_the_best_of_what_was_predicted() -> None:
    scores = np.array([[0.6, 0.9, 0.7, 0.1], [0.6, 0.4, 0.7, 0.1], [0.1, 0.2, 0.1, 0.05], [0.8, 0.8, 0.1, 0.1]])
    thresholds, groups = np.array([0.5, 0.95, 0.5, 0.5]), ExclusiveGroups({"pair": (0, 1), "other": (2, 3)})
    # Row 0: the class with 0.9 does not pass its threshold, so it does not push out the one with 0.6.
    assert decode(scores, thresholds, groups).astype(int).tolist() == [[1, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    half = np.full(4, 0.5)
    assert decode(scores, half, groups).astype(int).tolist() == [[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert decode(scores, half).astype(int).tolist()[0] == [1, 1, 1, 0]
    assert decode(scores, half, groups, at_least_one=True).astype(int).tolist()[2] == [0, 1, 0, 0]
    # The best class of row 0 fails its threshold, but another passes: nothing is added.
    assert decode(scores, thresholds, groups, at_least_one=True).astype(int).tolist()[0] == [1, 0, 1, 0]
    assert decode(np.full((1, 2), 0.5), np.full(2, 0.5)).tolist() == [[False, False]]  # a score passes above its threshold
    assert groups.conflicts(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]])) == {"pair": 2, "other": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("groups: {g: [a, x]}", "group 'g': unknown class 'x'; valid: a, b, c"),
        ("groups: {g: [a]}", "group 'g' has 1 class, expected two or more"),
        ("groups: {g: [a, b], h: [b, c]}", "class 'b' stands in 'g' and 'h'"),
        ("groups: {g: [a, a]}", "class 'a' stands in 'g' and 'g'"),
        ("{groups: {g: [a, b]}, group: {}}", "unknown key 'group'; did you mean 'groups'"),
        ("group: {g: [a, b]}", "groups: Field required"),
        ("groups: [a, b]", "groups"),
        ("- a", "expected a mapping"),
    ],
)
def test_bad_groups_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        ExclusiveGroups.load(tmp_path / "g.yaml", ["a", "b", "c"])


def test_the_proposed_groups_name_classes_of_the_map() -> None:
    groups = ExclusiveGroups.load(GROUPS, TINYVIRAT)
    assert groups.ids["turning"] == (10, 22)
    assert "ours" in GROUPS.read_text()

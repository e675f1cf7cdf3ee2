"""When recognizers give no answer."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.types import ActionScores, Array, Frame, ModelFacts
from recognizers.evaluation import report
from recognizers.floor import ActionFloor, Floored, fit_floor, none_figures
from recognizers.scores import SavedScores, one_hot

NAMES = ("jump", "run", "none")
FRAMES = {0: Frame("v.mp4", 0, 0.0, np.zeros((2, 2, 3), np.uint8))}
BACKGROUND = np.array([False, False, True])


class Fixed:
    """A recognizer of given probabilities."""

    action_names: tuple[str, ...] = NAMES
    background: tuple[str, ...] = ("none",)
    least_frames = 1
    models: tuple[ModelFacts, ...] = (ModelFacts("recognizer", "fixed", None, "{}"),)

    def __init__(self, probabilities: list[float], multi_label: bool = False) -> None:
        self.probabilities, self.multi_label = np.array(probabilities), multi_label

    def indices(self, num_frames: int) -> Array:
        return np.arange(num_frames)

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        assert set(self.indices(num_frames)) <= set(frames)
        return ActionScores.of(self.probabilities, self.multi_label, self.models, [2])


@pytest.mark.parametrize(
    ("probabilities", "holds"),
    [
        ([0.6, 0.3, 0.1], [True, False, False]),
        ([0.5, 0.4, 0.1], [False, False, False]),  # not sure enough
        ([0.1, 0.1, 0.8], [False, False, False]),  # background
    ],
)
def test_an_action_holds_from_the_floor_on(probabilities: list[float], holds: list[bool]) -> None:
    found = Floored(Fixed(probabilities), ActionFloor(least=0.55))(FRAMES, 1)
    assert found.holds.tolist() == holds
    assert found.probabilities == pytest.approx(probabilities, abs=1e-6)


def test_temperature_makes_less_sure_and_is_named_in_the_parse() -> None:
    floored = Floored(Fixed([0.9, 0.05, 0.05]), ActionFloor(temperature=2.0, least=0.8))
    found = floored(FRAMES, 1)
    assert found.probabilities.sum() == pytest.approx(1)
    assert 0.5 < found.probabilities[0] < 0.8
    assert not found.holds.any()
    assert found.models == floored.models
    assert json.loads(found.models[-1].config) == {"temperature": 2.0, "least": 0.8}


def test_multi_label_recognizers_have_thresholds_of_their_own() -> None:
    with pytest.raises(InputError, match="action_floor: for multi-label"):
        Floored(Fixed([0.9, 0.9, 0.1], multi_label=True), ActionFloor())


@pytest.mark.parametrize("settings", [{"least": 1.5}, {"temperature": 0.0}, {"floor": 0.5}])
def test_odd_settings(settings: dict[str, float]) -> None:
    with pytest.raises(InputError):
        parse_config(ActionFloor, settings, "a.yaml")


def saved(num: int = 200) -> tuple[Array, Array]:
    """(N, 3) probabilities and (N,) labels of clips of which the unknown ones are answered, less surely than the others."""
    random = np.random.default_rng(0)
    labels = np.arange(num) % 3
    sure = np.where(labels == 2, random.uniform(0.4, 0.7, num), random.uniform(0.5, 0.98, num))
    answer = np.where(labels == 2, 0, labels)
    probabilities = np.full((num, 3), 0.0) + ((1 - sure) / 2)[:, None]
    probabilities[np.arange(num), answer] = sure
    return probabilities, labels


@pytest.mark.parametrize("most", [0.0, 0.1, 0.2, 1.0])
def test_a_fitted_floor_lets_at_most_the_share_pass(most: float) -> None:
    probabilities, labels = saved()
    floor = fit_floor(probabilities, labels, BACKGROUND, most)
    answers = floor.answers(floor.probabilities(probabilities), BACKGROUND)
    none = labels == 2
    assert (answers[none] >= 0).mean() <= most
    if 0 < most < 1:
        lower = dataclasses.replace(floor, least=floor.least - 1e-9)
        assert (lower.answers(lower.probabilities(probabilities), BACKGROUND)[none] >= 0).mean() > most


def test_without_wrong_answers_there_is_no_floor() -> None:
    probabilities = np.eye(3)[[0, 1, 2, 2]] * 0.9 + 0.1 / 3
    assert fit_floor(probabilities, np.array([0, 1, 2, 2]), BACKGROUND, 0.1).least == 0


def test_without_background_nothing_is_fitted() -> None:
    with pytest.raises(ValueError, match="no clip of the background"):
        fit_floor(np.full((2, 3), 1 / 3), np.array([0, 1]), BACKGROUND, 0.1)


def test_figures_of_clips_of_none() -> None:
    probabilities, labels = saved()
    found = none_figures(probabilities, labels, BACKGROUND, 0.2)
    before, after = found["without_floor"], found["with_floor"]
    assert before["answered_although_none"] == 1
    assert after["answered_although_none"] < 0.35
    assert before["right_of_known"] == 1
    assert 0.6 < after["right_of_known"] <= after["answered_of_known"] < 1
    assert before["num_none"] + before["num_known"] == len(labels)


def test_the_report_and_saved_scores_know_the_background(tmp_path: Path) -> None:
    probabilities, labels = saved(60)
    columns = np.array([f"a/{i}" for i in range(60)]), np.array(NAMES), one_hot(labels, 3), np.log(probabilities)
    scores = SavedScores("s", *columns, np.zeros(60), np.ones(60, bool), False, np.array(["none"]))
    scores.save(tmp_path / "s.npz")
    again = SavedScores.load(tmp_path / "s.npz")
    assert again.is_background.tolist() == BACKGROUND.tolist()
    found, _ = report([again], 0.5, 0.1)
    assert found["none"]["with_floor"]["num_none"] == 20
    without, _ = report([dataclasses.replace(again, background=np.zeros(0, "U1"))], 0.5, 0.1)
    assert "none" not in without


def test_scores_saved_before_have_no_background(tmp_path: Path) -> None:
    columns = {"name": "s", "videos": ["a"], "actions": ["x"], "truth": np.ones((1, 1), np.int8), "logits": np.zeros((1, 1))}
    np.savez(tmp_path / "s.npz", **columns, seconds=np.zeros(1), disjoint=np.ones(1, bool), multi_label=False)
    assert not SavedScores.load(tmp_path / "s.npz").is_background.any()

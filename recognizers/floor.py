"""Below which probability a recognizer gives no answer, fitted on clips of the actions and of none of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from parsing.configs import Share, config
from parsing.errors import InputError
from parsing.logits import log_softmax, softmax
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame, ModelFacts
from recognizers.ensemble import logits_of
from recognizers.scores import FOLDS, SMALLEST

LOG_TEMPERATURES = (-2.0, 2.0)  # that are tried
NEVER = 1.0  # a floor that no answer of a network passes


@config
class ActionFloor:
    """When single-label recognizers answer at all.

    Args:
        temperature: that logits are divided by before the softmax (Guo et al., ICML 2017), so that probabilities mean what they say.
        least: probability below which the best action does not hold.
    """

    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    least: Share = 0.0

    def probabilities(self, probabilities: Array) -> Array:
        """(..., A) probabilities at the temperature."""
        return softmax(logits_of(probabilities, False, SMALLEST) / self.temperature)

    def answers(self, probabilities: Array, background: Array) -> Array:
        """(N,) id of the action that holds by (N, A) probabilities at the temperature; -1 where none does.

        Args:
            background: (A,) which classes are no action.
        """
        best = probabilities.argmax(1)
        holds = ~background[best] & (probabilities.max(1) >= self.least)
        return np.where(holds, best, -1)


class Floored:
    """A single-label recognizer whose best action holds from a floor on.

    Raises:
        InputError: the recognizer is multi-label.
    """

    def __init__(self, recognizer: ActionRecognizer, floor: ActionFloor) -> None:
        if recognizer.multi_label:
            raise InputError("action_floor: for multi-label recognizers, expected none: each of their actions has a threshold")
        self.recognizer, self.floor = recognizer, floor
        self.action_names, self.multi_label = recognizer.action_names, False
        self.background, self.least_frames = recognizer.background, recognizer.least_frames
        self.facts = ModelFacts("recognizers", "action_floor", None, json.dumps(asdict(floor)))
        self.models: tuple[ModelFacts, ...] = (*recognizer.models, self.facts)

    def indices(self, num_frames: int) -> Array:
        return self.recognizer.indices(num_frames)

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        found = self.recognizer(frames, num_frames)
        probabilities = self.floor.probabilities(found.probabilities)
        background = [self.action_names.index(name) for name in self.background]
        scores = ActionScores.of(probabilities, False, (*found.models, self.facts), background)
        return replace(scores, holds=scores.holds & (scores.probabilities >= self.floor.least))


def fit_floor(probabilities: Array, labels: Array, background: Array, most_answered: float) -> ActionFloor:
    """The temperature of the highest likelihood, and the lowest floor at which at most a share of the clips of none is answered.

    Args:
        probabilities: (N, A) of a recognizer, at any temperature.
        labels: (N,) ids of the true classes, those of the background too.
        background: (A,) which classes are no action.
        most_answered: share of the clips of the background that may get an answer.

    Raises:
        ValueError: no clip is of the background.
    """
    from scipy.optimize import minimize_scalar  # late: a run does not fit anything

    none = background[labels]
    if not none.any():
        raise ValueError("no clip of the background, expected some that should get no answer")
    logits = logits_of(probabilities, False, SMALLEST)
    rows = np.arange(len(labels))
    loss = minimize_scalar(lambda t: -log_softmax(logits / np.exp(t))[rows, labels].mean(), bounds=LOG_TEMPERATURES, method="bounded")
    temperature = float(np.exp(loss.x))
    calibrated = ActionFloor(temperature).probabilities(probabilities)[none]
    sure = np.sort(np.where(background[calibrated.argmax(1)], 0.0, calibrated.max(1)))[::-1]  # of the wrong answers
    allowed = int(most_answered * len(sure))
    if allowed == len(sure):
        return ActionFloor(temperature)
    return ActionFloor(temperature, min(NEVER, float(np.nextafter(sure[allowed], 2.0))) if sure[allowed] else 0.0)


def none_figures(probabilities: Array, labels: Array, background: Array, most_answered: float) -> dict[str, Any]:
    """How often clips of none of the actions get an answer, and clips of an action the right one, without and with a floor.

    The floor of each clip was fitted on the other folds; `floor` is that of all clips, for a pipeline's `action_floor`.

    Args:
        probabilities, labels, background, most_answered: as in `fit_floor`.
    """
    order = np.argsort(background[labels], kind="stable")  # so that every fold has its share of either
    folds = np.empty(len(labels), int)
    folds[order] = np.arange(len(labels)) % FOLDS
    answers = np.full(len(labels), -1)
    for fold in np.unique(folds):
        held = folds == fold
        floor = fit_floor(probabilities[~held], labels[~held], background, most_answered)
        answers[held] = floor.answers(floor.probabilities(probabilities[held]), background)
    return {
        "without_floor": _shares(ActionFloor().answers(probabilities, background), labels, background),
        "with_floor": _shares(answers, labels, background),
        "floor": asdict(fit_floor(probabilities, labels, background, most_answered)),
    }


def _shares(answers: Array, labels: Array, background: Array) -> dict[str, float]:
    """Of clips of none, and of clips of an action."""
    none = background[labels]
    found = {"answered_although_none": float((answers[none] >= 0).mean()), "num_none": int(none.sum())}
    if none.all():
        return found
    known = answers[~none]
    return found | {
        "right_of_known": float((known == labels[~none]).mean()),
        "answered_of_known": float((known >= 0).mean()),
        "num_known": int((~none).sum()),
    }

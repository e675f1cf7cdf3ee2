"""From probabilities to the actions that hold: thresholds and groups of exclusive actions around a multi-label recognizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np

from parsing.configs import parse_config, read_yaml
from parsing.errors import InputError
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame
from recognizers.groups import ExclusiveGroups, decode
from recognizers.thresholds import ThresholdsConfig

SHIPPED_THRESHOLDS = "default/low_res_thresholds"


class Decoded:
    """A multi-label recognizer whose actions hold above their (A,) thresholds, of each exclusive group only the best.

    With `at_least_one`, the best action holds where none passes its threshold.
    """

    def __init__(self, recognizer: ActionRecognizer, thresholds: Array, groups: ExclusiveGroups, at_least_one: bool) -> None:
        self.recognizer, self.thresholds, self.groups, self.at_least_one = recognizer, thresholds, groups, at_least_one
        self.action_names, self.multi_label, self.models = recognizer.action_names, recognizer.multi_label, recognizer.models
        self.background, self.least_frames = recognizer.background, recognizer.least_frames

    def indices(self, num_frames: int) -> Array:
        return self.recognizer.indices(num_frames)

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        found = self.recognizer(frames, num_frames)
        return replace(found, holds=decode(found.probabilities[None], self.thresholds, self.groups, self.at_least_one)[0])


def ensemble_thresholds(name: str, actions: Sequence[str], num_members: int) -> Array:
    """(A,) thresholds for a recognizer that averages the logits of its members; 0.5 where `name` is empty.

    Args:
        name: a file that `pipelines.evaluate tinyvirat --fit-thresholds` wrote, or the shipped `default/low_res_thresholds`.

    Raises:
        InputError: the file is of other actions, or of an ensemble that averages something else.
    """
    if not name:
        return np.full(len(actions), 0.5)
    shipped = Path(str(resources.files("recognizers"))) / "weights" / "low_res_thresholds.yaml"
    path = shipped if name == SHIPPED_THRESHOLDS else Path(name)
    fitted = parse_config(ThresholdsConfig, read_yaml(path), str(path))
    odd = sorted(set(fitted.thresholds) ^ set(actions))
    if odd:
        raise InputError(f"{path}: thresholds of other classes than the recognizer's: {odd[0]!r}")
    if num_members > 1 and fitted.mix != "logits":
        raise InputError(f"{path}: fitted on averages of {fitted.mix}; low_res averages the logits of its recognizers")
    return fitted.values(actions)

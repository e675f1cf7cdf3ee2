"""A threshold for each class, fitted on labelled clips that the network was not trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import yaml
from pydantic import Field

from parsing.configs import Share, config, nearest, parse_config, read_yaml
from parsing.errors import InputError
from parsing.files import atomic
from parsing.logits import logit, sigmoid
from parsing.measures.f1 import f1
from parsing.types import Array
from recognizers.scores import SMALLEST, Mix

SHRINKAGE = 20.0
Probability = Annotated[float, Field(gt=0, lt=1)]


@config
class ThresholdsConfig:
    """The file of thresholds, with the ensemble that they belong to.

    Args:
        members: names of the scores, and the weight of each.
        mix: what the ensemble averages.
        clips: digest of the clips of the fit, so that no figure is reported on them.
        num_clips: of the fit.
        shrinkage: k of the fit.
        common: the threshold that rare classes are drawn to.
        thresholds: of each class.
    """

    members: dict[str, Share]
    mix: Mix
    clips: str
    num_clips: Annotated[int, Field(ge=0, le=10**9)]
    shrinkage: float
    common: Probability
    thresholds: dict[str, Probability]

    def values(self, classes: Sequence[str]) -> Array:
        """(C,) thresholds in the order of `classes`."""
        return np.array([self.thresholds[name] for name in classes])

    def weights(self, names: Sequence[str], path: Path) -> Array:
        """(M,) weights in the order of the members; raises InputError where the file is of other members."""
        for name in names:
            if name not in self.members:
                raise InputError(f"{path}: fitted without the scores of {name!r}; {nearest(name, self.members)}")
        for name in self.members:
            if name not in names:
                raise InputError(f"{path}: fitted with the scores of {name!r} too; expected scores of {', '.join(self.members)}")
        return np.array([self.members[name] for name in names])


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Fitted thresholds: the common one, (C,) those of the classes, and the settings of the fit."""

    common: float
    values: Array
    num_clips: int
    shrinkage: float

    def save(self, path: Path, classes: Sequence[str], ids: Sequence[str], members: Mapping[str, float], mix: Mix) -> None:
        """Write the YAML file that `read_thresholds` reads.

        Args:
            ids: of the clips of the fit.
            members, mix: of the ensemble that gave the scores.
        """
        fit: dict[str, object] = {
            "members": {name: round(weight, 7) for name, weight in members.items()},
            "mix": mix,
            "clips": _digest(ids),
        }
        fit |= {"num_clips": self.num_clips, "shrinkage": self.shrinkage, "common": round(self.common, 7)}
        fit["thresholds"] = {name: round(float(value), 7) for name, value in zip(classes, self.values, strict=True)}
        with atomic(path) as temporary:
            temporary.write_text(yaml.safe_dump(fit, sort_keys=False), encoding="utf-8")


def read_thresholds(path: Path, classes: Sequence[str], ids: Sequence[str]) -> ThresholdsConfig:
    """Thresholds of these classes, for clips that they were not fitted on.

    Raises:
        InputError: the file does not fit, was fitted on these very clips, lacks a class, or knows another; names it.
    """
    settings = parse_config(ThresholdsConfig, read_yaml(path), str(path))
    if settings.clips == _digest(ids):
        raise InputError(f"{path}: fitted on these {len(ids)} clips; without it thresholds are fitted across folds, and may be quoted")
    for name in settings.thresholds:
        if name not in classes:
            raise InputError(f"{path}: threshold of an unknown class {name!r:.60}; {nearest(name, classes)}")
    for name in classes:
        if name not in settings.thresholds:
            raise InputError(f"{path}: no threshold of class {name!r}; expected one of each of {len(classes)} classes")
    return settings


def fit_thresholds(scores: Array, truth: Array, shrinkage: float = SHRINKAGE) -> Thresholds:
    """Thresholds for the best macro-F1, those of rare classes drawn to the common one.

    The common threshold gives the best macro-F1 when all classes share it. A class that n clips show takes, as logits,
    w · its own best + (1 - w) · the common one with w = n / (n + k): its own best counts half from k clips on. A class
    that no clip shows takes the common one. Of equally good thresholds the nearest to the common one is taken.

    Args:
        scores: (N, C) probabilities.
        truth: (N, C) multi-hot.
        shrinkage: k, in clips; 0 takes each class's own best.

    Raises:
        InputError: labels are unknown (-1), as of a test split.
    """
    check_labelled(truth)
    shown = np.asarray(truth, bool)
    common = _common(scores, shown)
    counts = shown.sum(0)
    best = np.array([_best(scores[:, c], shown[:, c], common) if counts[c] else common for c in range(scores.shape[1])])
    weights = counts / np.maximum(counts + shrinkage, 1)
    values = sigmoid(weights * _logit(best) + (1 - weights) * _logit(np.array(common)))
    return Thresholds(common, np.asarray(values), len(truth), shrinkage)


def cross_fitted_thresholds(scores: Array, truth: Array, folds: Array, shrinkage: float = SHRINKAGE) -> Array:
    """(N, C) thresholds: each clip's were fitted on the other folds, so figures with them are not of the clips of the fit.

    Without another fold, as of a single clip, they are 0.5.

    Args:
        scores, truth: as in `fit_thresholds`.
        folds: (N,) fold of each clip.
    """
    check_labelled(truth)
    values = np.full(scores.shape, 0.5)
    for fold in np.unique(folds) if len(np.unique(folds)) > 1 else ():
        held = folds == fold
        values[held] = fit_thresholds(scores[~held], truth[~held], shrinkage).values
    return values


def check_labelled(truth: Array) -> None:
    """Raises InputError where clips have no labels: nothing is fitted on a test split."""
    unknown = int((np.asarray(truth) < 0).any(1).sum())
    if unknown or not len(truth):
        raise InputError(
            f"{unknown} of {len(truth)} clips have no labels; thresholds and weights are fitted on a labelled validation split"
        )


def _digest(ids: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:16]


def _common(scores: Array, shown: Array) -> float:
    """The quantile of all scores that gives the best macro-F1."""
    candidates = np.unique(_bounded(np.quantile(scores, np.linspace(0, 1, 201))))
    chosen = scores[None] > candidates[:, None, None]
    found = f1((chosen & shown).sum(1), chosen.sum(1), shown.sum(0)).mean(1)
    return _middle(candidates, found)


def _best(scores: Array, shown: Array, common: float) -> float:
    """Of the middles between neighbouring scores the one with the best F1, the nearest to `common` of several."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    found = f1(np.cumsum(shown[order])[ends], ends + 1, np.array(shown.sum()))
    levels = _logit(np.append(scores[order][ends], 0.0))
    middles = (levels[:-1] + levels[1:]) / 2
    good = middles[found > found.max() - 1e-9]
    return float(sigmoid(good[np.abs(good - _logit(np.array(common))).argmin()]))


def _middle(candidates: Array, values: Array) -> float:
    """The middle one of the best."""
    best = np.flatnonzero(values > values.max() - 1e-9)
    return float(candidates[best[len(best) // 2]])


def _bounded(scores: Array) -> Array:
    return np.clip(scores, SMALLEST, 1 - SMALLEST)


def _logit(scores: Array) -> Array:
    return logit(_bounded(scores))

"""Scores that mean what they say: of boxes with a score of 0.5, one half are right.

Platt scaling (Platt, 1999): a logistic regression of whether a box is right on the logit of its score, class by class. It keeps
the order of the boxes of a class, so their average precision stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from parsing.configs import config
from parsing.geometry import box_ious
from parsing.measures.boxes import BoxTruth
from parsing.types import Array

Boxes = tuple[Array, Array, Array]  # xyxy (K, 4) px, scores (K,), class ids (K,)
RIGHT_IOU = 0.5
EPSILON = 1e-4  # scores are kept this far from 0 and 1
MIN_BOXES = 20  # right and wrong ones of a class; with fewer its scores stay as they are
NEWTON_STEPS = 30


@config
class ScoreCalibration:
    """Probability = sigmoid(scale · logit(score) + shift), with a scale and a shift for each of C classes."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def apply(self, scores: Tensor) -> Tensor:
        """(R, C) calibrated scores; a score of 0 stays 0."""
        logits = scores.clamp(EPSILON, 1 - EPSILON).logit()
        found = (logits * logits.new_tensor(self.scale) + logits.new_tensor(self.shift)).sigmoid()
        return torch.where(scores > 0, found, 0.0)


def fit_calibration(truths: Sequence[BoxTruth], found: Sequence[Boxes], num_classes: int) -> ScoreCalibration:
    """Calibration from what a detector found in annotated images; boxes that only meet ignored regions do not count."""
    matched = [_matched(truth, boxes) for truth, boxes in zip(truths, found, strict=True)]
    scores, classes, right = (np.concatenate(column) for column in zip(*matched, strict=True))
    pairs = [_platt(scores[classes == label], right[classes == label]) for label in range(num_classes)]
    return ScoreCalibration(tuple(scale for scale, _ in pairs), tuple(shift for _, shift in pairs))


def _matched(truth: BoxTruth, found: Boxes) -> tuple[Array, Array, Array]:
    """Scores, classes and rightness of an image's boxes: best first, each claims the true box that it overlaps most."""
    boxes, scores, classes = found
    right, counted, free = np.zeros(len(boxes), bool), np.ones(len(boxes), bool), ~truth.crowd
    overlaps = box_ious(boxes, truth.xyxy) * (classes[:, None] == truth.class_ids[None])
    for i in np.argsort(-scores, kind="stable"):
        own = overlaps[i] * free
        if len(own) and own.max() >= RIGHT_IOU:
            right[i], free[own.argmax()] = True, False
        else:
            counted[i] = not (overlaps[i] * truth.crowd > 0).any()
    return scores[counted], classes[counted], right[counted]


def _platt(scores: Array, right: Array) -> tuple[float, float]:
    """Scale and shift of the most likely logistic curve, by Newton's method on Platt's smoothed targets."""
    positives, negatives = int(right.sum()), int((~right.astype(bool)).sum())
    if min(positives, negatives) < MIN_BOXES:
        return 1.0, 0.0
    target = np.where(right, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    clipped = scores.astype(float).clip(EPSILON, 1 - EPSILON)
    inputs = np.stack([np.log(clipped / (1 - clipped)), np.ones(len(scores))], 1)
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-inputs @ weights))
        spread = probability * (1 - probability)
        hessian = (inputs * spread[:, None]).T @ inputs + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(hessian, inputs.T @ (target - probability)).clip(-2, 2)
    return float(weights[0]), float(weights[1])

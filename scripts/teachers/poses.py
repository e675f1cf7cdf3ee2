"""Joints of a person by MoveNet Thunder and BlazePose heavy, and where the teachers agree about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from parsing.keypoints import BLAZEPOSE_NAMES, COCO_NAMES
from parsing.types import Array
from teachers.boxes import Person

CROP_PX = 256
COCO_OF_BLAZEPOSE = [BLAZEPOSE_NAMES.index(name) for name in COCO_NAMES]
TOLERANCE, FACE_TOLERANCE = 0.065, 0.0455  # of the box's longer side
MIN_GOOD, MIN_GOOD_SHARE, MIN_GOOD_BODY, MIN_GOOD_TRUNK = 8, 0.55, 5, 3
TRUNK = (5, 6, 11, 12)
VISIBILITY = (0.0, 0.75, 1.0)  # in BlazePose's order, of COCO's 0, 1, 2
FACE33 = [1, 3, 4, 6, 9, 10]  # points of BlazePose's face that COCO lacks: they ride on the nose
ENDS33 = {15: (17, 19, 21), 16: (18, 20, 22), 27: (29, 31), 28: (30, 32)}  # hands ride on wrists, feet on ankles

Estimator = Callable[[Array], Array]


@dataclass(frozen=True)
class Pose:
    """Joints x, y in pixels of the image and score: Thunder's (17, 3) and BlazePose heavy's (33, 3)."""

    thunder: Array
    heavy: Array

    @property
    def heavy17(self) -> Array:
        """(17, 3) of COCO's joints."""
        return self.heavy[COCO_OF_BLAZEPOSE]


def find_joints(image: Array, box: Array, thunder: Estimator) -> tuple[Array, float]:
    """Thunder's (17, 3) joints of a person, from a crop whose trunk stands upright where that makes it surer, and the trunk's angle."""
    size, centre = box[2:] - box[:2], (box[:2] + box[2:]) / 2
    upright = _in_crop(image, centre, 1.25 * max(size), 0.0, thunder)
    angle = trunk_angle(upright)
    if abs(angle) > np.deg2rad(40):
        turned = _in_crop(image, centre, 1.25 * max(size), angle, thunder)
        if turned[:, 2].mean() > upright[:, 2].mean() + 0.02:
            return turned, trunk_angle(turned)
    return upright, angle


def find_pose(image: Array, box: Array, thunder: Estimator, heavy: Estimator) -> Pose:
    """Crops are turned so that the trunk stands upright, for Thunder where that makes it surer."""
    size = box[2:] - box[:2]
    joints, angle = find_joints(image, box, thunder)
    good = joints[joints[:, 2] > 0.2, :2]
    points = good if len(good) >= 6 else np.array([[x, y] for y in box[1::2] for x in box[::2]])
    turn = np.array([[np.cos(-angle), -np.sin(-angle)], [np.sin(-angle), np.cos(-angle)]])
    low, high = (points @ turn.T).min(0), (points @ turn.T).max(0)
    side = 1.35 * max(*(high - low), 0.75 * max(size))  # hands and feet reach beyond wrists and ankles
    return Pose(joints, _in_crop(image, (low + high) / 2 @ turn, side, angle, heavy))


def _in_crop(image: Array, centre: Array, side: float, angle: float, estimator: Estimator) -> Array:
    """Joints in the image, from a square of it whose upward direction is `angle` off the image's, clockwise."""
    scale = CROP_PX / side
    cosine, sine = np.cos(-angle) * scale, np.sin(-angle) * scale
    turn = np.array([[cosine, -sine], [sine, cosine]])
    matrix = np.column_stack([turn, CROP_PX / 2 - turn @ centre])
    joints = estimator(cv2.warpAffine(image, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0)))
    back = cv2.invertAffineTransform(matrix)
    return np.column_stack([joints[:, :2] @ back[:, :2].T + back[:, 2], joints[:, 2]])


def trunk_angle(joints: Array) -> float:
    """Radians from the image's upward direction to that from hips to shoulders, clockwise; 0 where either is not seen."""
    shoulders, hips = (joints[pair][joints[pair, 2] > 0.2, :2] for pair in ([5, 6], [11, 12]))
    if not len(shoulders) or not len(hips):
        return 0.0
    x, y = shoulders.mean(0) - hips.mean(0)
    return float(np.arctan2(x, -y))


def agreed_joints(pose: Pose, person: Person, image_hw: tuple[int, int]) -> tuple[Array, str]:
    """Joints on which two teachers agree, as COCO keypoints (17, 3), 0 where they do not, and how each vote went.

    Votes: `a` Thunder and BlazePose heavy agree, `m` Thunder and MultiPose, `h` heavy and MultiPose, `d` they disagree,
    `n` nobody sees the joint.
    """
    other = np.zeros((17, 3)) if person.joints is None else person.joints
    found = [_vote(j, t, h, m, person.box, image_hw) for j, (t, h, m) in enumerate(zip(pose.thunder, pose.heavy17, other, strict=True))]
    return np.array([joint for joint, _ in found], float), "".join(vote for _, vote in found)


def _vote(joint: int, thunder: Array, heavy: Array, multipose: Array, box: Array, image_hw: tuple[int, int]) -> tuple[Array, str]:
    """The agreed x, y and COCO's visibility, and the vote."""
    side = max(box[2:] - box[:2])
    tolerance = (FACE_TOLERANCE if joint < 5 else TOLERANCE) * side
    has_third = multipose[2] > 0.2
    both = _distance(thunder, heavy) < tolerance
    with_thunder = has_third and _distance(thunder, multipose) < tolerance
    with_heavy = has_third and _distance(heavy, multipose) < tolerance
    if thunder[2] < 0.15 and heavy[2] < 0.4:
        return np.zeros(3), "n"
    if not _inside(thunder, np.array([0, 0, *image_hw[::-1]]), 2) or not _inside(thunder, box, 0.08 * side):
        return np.zeros(3), "d"
    if both and thunder[2] >= 0.15:
        return np.array([*thunder[:2], 2 if thunder[2] >= 0.3 and heavy[2] >= 0.5 else 1]), "a"
    if with_thunder and thunder[2] >= 0.35:
        return np.array([*thunder[:2], 2 if thunder[2] >= 0.45 else 1]), "m"
    if with_heavy and multipose[2] >= 0.35 and heavy[2] >= 0.6:
        return np.array([*(heavy[:2] + multipose[:2]) / 2, 1]), "h"
    return np.zeros(3), "d"


def _distance(first: Array, second: Array) -> float:
    return float(np.linalg.norm(first[:2] - second[:2]))


def _inside(point: Array, box: Array, margin: float) -> bool:
    return bool((point[:2] >= box[:2] - margin).all() and (point[:2] <= box[2:] + margin).all())


def is_good(votes: str) -> bool:
    """Whether the teachers agree about enough joints to keep a pose."""
    good = [vote in "amh" for vote in votes]
    shown = sum(vote != "n" for vote in votes)
    trunk = sum(good[joint] for joint in TRUNK)
    return sum(good) >= max(MIN_GOOD, MIN_GOOD_SHARE * shown) and sum(good[5:]) >= MIN_GOOD_BODY and trunk >= MIN_GOOD_TRUNK


def to_blazepose(keypoints: Array, heavy: Array, side: float, human: bool) -> Array:
    """(33, 3) in BlazePose's order with visibility 0 to 1: COCO keypoints (17, 3), and by BlazePose heavy face, hands and feet.

    Args:
        side: longer side of the person's box, px.
        human: the keypoints are a human's: the face counts only where BlazePose's nose is theirs.
    """
    found = np.column_stack([heavy[:, :2], np.zeros(33)])
    for joint, place in zip(keypoints, COCO_OF_BLAZEPOSE, strict=True):
        if joint[2] > 0 or human:
            found[place] = [*joint[:2], VISIBILITY[int(joint[2])]]
    if keypoints[0, 2] > 0 and (not human or _distance(keypoints[0], heavy[0]) < TOLERANCE * side):
        found[FACE33] = heavy[FACE33] + [*(keypoints[0, :2] - heavy[0, :2]), 0]
    for joint, ends in ENDS33.items():
        used = found[joint, 2] >= 0.5 and _distance(found[joint], heavy[joint]) < TOLERANCE * side
        for end in ends:
            if used and _distance(heavy[end], heavy[joint]) < 0.16 * side:
                found[end] = heavy[end] + [*(found[joint, :2] - heavy[joint, :2]), 0]
    return found

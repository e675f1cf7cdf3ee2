"""Where a part stands about whose joints the teachers disagree: regions that the part detector must not take for background."""

from __future__ import annotations

import numpy as np

from parsing.types import Array
from teachers.poses import Pose

# Joints that a part's box follows from; of hands and feet the last one is where they are.
JOINTS = {
    "head": (0, 1, 2, 3, 4),
    "hip": (11, 12),
    "left_arm": (5, 7, 9),
    "right_arm": (6, 8, 10),
    "left_hand": (7, 9),
    "right_hand": (8, 10),
    "left_leg": (11, 13, 15),
    "right_leg": (12, 14, 16),
    "left_foot": (13, 15),
    "right_foot": (14, 16),
}


def doubted_parts(pose: Pose, votes: str, box: Array, image_hw: tuple[int, int]) -> dict[str, Array]:
    """Boxes (4,) xyxy px around the places that the teachers give, by the part's name.

    Args:
        votes: of the joints, see `agreed_joints`.
        box: of the person, inside of the image.
    """
    side = max(box[2:] - box[:2])
    image = np.array([0, 0, *image_hw[::-1]])
    reach = np.concatenate([np.maximum(box[:2] - 0.05 * side, image[:2]), np.minimum(box[2:] + 0.05 * side, image[2:])])
    found = {}
    for part, joints in JOINTS.items():
        if _is_doubted(part, [votes[joint] for joint in joints]):
            points, margin = _places(part, joints, pose)
            low, high = np.maximum(points.min(0) - margin * side, reach[:2]), np.minimum(points.max(0) + margin * side, reach[2:])
            if (high - low).min() >= 3:
                found[part] = np.concatenate([low, high])
    return found


def _is_doubted(part: str, votes: list[str]) -> bool:
    """One joint is enough to know where a head is."""
    good = [vote in "amh" for vote in votes]
    return "d" in votes and not (any(good) if part == "head" else all(good))


def _places(part: str, joints: tuple[int, ...], pose: Pose) -> tuple[Array, float]:
    """(N, 2) points of both teachers, and the margin around them as a share of the person's longer side."""
    heavy = pose.heavy17
    if part.endswith(("hand", "foot")):
        return np.stack([pose.thunder[joints[-1], :2], heavy[joints[-1], :2]]), 0.09
    seen = [joint for joint in joints if pose.thunder[joint, 2] > 0.1]
    return np.concatenate([pose.thunder[seen, :2], heavy[list(joints), :2]]), 0.05

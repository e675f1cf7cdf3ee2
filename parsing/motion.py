"""States that one picture cannot show: what moves, from keypoints of the same person at two times.

Speeds are those of joints relative to the middle of the hips, in body units (`parsing.pose`) a second, so neither
a moving camera nor a person who walks across the picture counts.

| part | state | holds when | does not hold when |
|---|---|---|---|
| arm | swing | elbow or wrist faster than 1.6 units/s | slower than 1.0 units/s |
| hand | swing | wrist faster than 2.2 units/s | slower than 1.4 units/s |
| leg | step | knee or ankle faster than 1.2 units/s | slower than 0.7 units/s |
| foot | step | ankle faster than 1.6 units/s | slower than 1.0 units/s |

Between the two columns a state is unknown, as it is without the joints at both times.
"""

from __future__ import annotations

import numpy as np

from parsing.pose import STATE_NAMES, body_points
from parsing.types import Array
from parsing.vocabulary import PART_NAMES

# Part without its side: state, joints, speeds (units/s) that it holds above and does not hold below.
_RULES = {
    "arm": ("swing", ("elbow", "wrist"), 1.6, 1.0),
    "hand": ("swing", ("wrist",), 2.2, 1.4),
    "leg": ("step", ("knee", "ankle"), 1.2, 0.7),
    "foot": ("step", ("ankle",), 1.6, 1.0),
}


def motion_states(keypoints: Array, other: Array, person_xyxy: Array, seconds: float) -> tuple[Array, Array]:
    """States of motion between two poses of one person.

    Args:
        keypoints, other: (17, 3) COCO or (33, 3) BlazePose, the same joints at the two times.
        person_xyxy: (4,) box at the first time.
        seconds: between the two, > 0.

    Returns:
        (10, S) bool whether a state holds, and whether that is known; S as in `parsing.pose.STATE_NAMES`.
    """
    holds = np.zeros((len(PART_NAMES), len(STATE_NAMES)), bool)
    known = np.zeros_like(holds)
    first, unit = body_points(keypoints, person_xyxy)
    second, _ = body_points(other, person_xyxy)
    hips = [name for name in ("left_hip", "right_hip") if name in first and name in second]
    if not hips:
        return holds, known
    origin = [np.mean([points[name] for name in hips], axis=0) for points in (first, second)]
    for p, name in enumerate(PART_NAMES):
        side, _, kind = name.rpartition("_")
        if kind not in _RULES:
            continue
        state, joints, fast, slow = _RULES[kind]
        pairs = [(first[j], second[j]) for j in (f"{side}_{joint}" for joint in joints) if j in first and j in second]
        if not pairs:
            continue
        speed = max(float(np.linalg.norm((b - origin[1]) - (a - origin[0]))) for a, b in pairs) / unit / seconds
        s = STATE_NAMES.index(state)
        holds[p, s], known[p, s] = speed > fast, speed > fast or speed < slow
    return holds, known

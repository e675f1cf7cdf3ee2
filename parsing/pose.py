"""Part boxes and geometric states from keypoints, by rule.

Keypoints (x, y, visibility) are in pixels, y down, in any order of `parsing.keypoints`; left and right are the person's
own. Lengths are measured in body units: the longest of torso, 1.2 shoulder widths and a quarter of
the person's box, so that a foreshortened torso does not shrink a person. "Vertical" is that of the image.

| part | state | holds when | does not hold when |
|---|---|---|---|
| arm | bend | elbow angle < 130° | > 150° |
| arm | unbend | elbow angle > 150° | < 130° |
| arm | raise | upper arm more than 80° off the torso's downward axis | < 60° |
| hand | raise | wrist above the shoulder by 0.1 units | not above it |
| hand | lower | wrist below the hip by 0.1 units | above it by 0.1 units |
| leg | stand | knee angle > 155° and hip to ankle within 30° of downward | knee < 145° or more than 40° off |
| leg | bend | knee angle < 140° | > 155° |
| leg | lift | ankle above the other ankle by 0.3 units | by less than 0.15 units |
| foot | lift | ankle above the other ankle by 0.2 units | by less than 0.1 units |
| foot | stand | not lifted and shank within 50° of downward | lifted, or shank more than 65° off |
| hip | stand | torso within 25° of upright and hip angle > 150° | more than 35° off or hip angle < 140° |
| hip | sit | torso within 45° of upright, hip angle < 120°, knee angle < 130° | torso > 55° off, or hip > 135° or knee > 145° |
| hip | stoop | torso 45° or more off upright, knees below hips, hip angle < 145° | torso < 35° off, or hip angle > 155° |
| head | upright | neck within 20° of upright and not bowed | more than 30° off, or bowed |
| head | bow | nose below the ears by 0.12 units, or neck more than 45° off upright | by less than 0.06 units and < 35° off |
| head | turn | nose beside the ears' middle by 0.15 units | by less than 0.08 units |

Between the two columns a state is unknown: nothing is trained or scored there. So it is where a joint that the rule looks at is
not visible; those of trunk and head want shoulders, hips, knees and ankles of both sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from parsing.keypoints import FINGERS, LAYOUTS, counts_text
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, Vocabulary

# The last two are states of motion, see `parsing.motion`; one picture does not tell them.
STATE_NAMES = ("bend", "unbend", "raise", "lower", "stand", "lift", "sit", "stoop", "upright", "bow", "turn", "swing", "step")
_STATES_OF = {
    "head": ("upright", "bow", "turn"),
    "hip": ("stand", "sit", "stoop"),
    "arm": ("bend", "unbend", "raise", "swing"),
    "hand": ("raise", "lower", "swing"),
    "leg": ("stand", "bend", "lift", "step"),
    "foot": ("stand", "lift", "step"),
}
# States of which the rules let one hold at most.
_EXCLUSIVE_OF = {
    "head": (("upright", "bow"),),
    "hip": (("stand", "sit", "stoop"),),
    "arm": (("bend", "unbend"),),
    "leg": (("stand", "bend"),),
    "foot": (("stand", "lift"),),
}
MIN_VISIBILITY = 0.5
# Margins around joints, in body units: half the thickness of what surrounds the bones.
ARM_MARGIN, HAND_MARGIN, LEG_MARGIN, FOOT_MARGIN, HIP_MARGIN = 0.11, 0.1, 0.14, 0.08, (0.2, 0.22)
FINGER_MARGIN = 0.04  # around fingertips
HAND_REACH = 0.3  # fingertips beyond the wrist, as a share of the forearm, where only 17 points are known
HEAD_UNITS = 0.48  # crown to chin
MIN_SHARE_IN_PERSON = 0.3  # of a part box


def pose_vocabulary(actions: tuple[str, ...]) -> Vocabulary:
    """The demonstration vocabulary: the ten parts and their geometric states, with the actions of a recognizer."""
    rows = tuple(_STATES_OF[name.rpartition("_")[2]] for name in PART_NAMES)
    exclusive = tuple(_EXCLUSIVE_OF.get(name.rpartition("_")[2], ()) for name in PART_NAMES)
    return Vocabulary("pose-demo", PART_NAMES, STATE_NAMES, rows, actions, exclusive=exclusive)


@dataclass(frozen=True, eq=False)
class _Skeleton:
    """Visible joints by name, (2,) pixels each, the length of a body unit in pixels, and the margin of thresholds."""

    points: dict[str, Array]
    unit: float
    margin: float = 0.0

    def get(self, *names: str) -> list[Array] | None:
        """The joints, or None when one of them is not visible."""
        found = self.seen(names)
        return found if len(found) == len(names) else None

    def seen(self, names: Iterable[str]) -> list[Array]:
        """Those of the joints that are visible."""
        return [self.points[name] for name in names if name in self.points]

    def middle(self, joint: str) -> Array | None:
        """Half-way between left and right, or the one that is visible."""
        found = self.seen(f"{side}_{joint}" for side in ("left", "right"))
        return np.mean(found, axis=0) if found else None

    def between(self, joint: str) -> Array | None:
        """Half-way between left and right, or None when one of them is not visible: what it shows then could be either side's."""
        found = self.get(f"left_{joint}", f"right_{joint}")
        return None if found is None else np.mean(found, axis=0)

    def above(self, value: float, yes: float, no: float) -> bool | None:
        """True beyond `yes`, False short of `no`, None in between and within the margin; `yes` may lie on either side of `no`."""
        spare = self.margin * abs(yes - no)
        if yes < no:
            value, yes, no = -value, -yes, -no
        return True if value > yes + spare else False if value < no - spare else None


def _skeleton(keypoints: Array, person_xyxy: Array) -> _Skeleton:
    if keypoints.ndim != 2 or keypoints.shape[1] != 3 or len(keypoints) not in LAYOUTS:
        raise ValueError(f"keypoints have shape {keypoints.shape}, expected (K, 3) with K one of {counts_text()}")
    names = LAYOUTS[len(keypoints)]
    points = {names[i]: keypoints[i, :2].astype(float) for i in np.flatnonzero(keypoints[:, 2] >= MIN_VISIBILITY)}
    skeleton = _Skeleton(points, 0.0)
    lengths = [0.25 * float(max(person_xyxy[2] - person_xyxy[0], person_xyxy[3] - person_xyxy[1])), 1.0]
    shoulders, hips = skeleton.middle("shoulder"), skeleton.middle("hip")
    if shoulders is not None and hips is not None:
        lengths.append(float(np.linalg.norm(shoulders - hips)))
    if pair := skeleton.get("left_shoulder", "right_shoulder"):
        lengths.append(1.2 * float(np.linalg.norm(pair[0] - pair[1])))
    return _Skeleton(points, max(lengths))


def body_points(keypoints: Array, person_xyxy: Array) -> tuple[dict[str, Array], float]:
    """Visible joints by name, (2,) pixels each, and the length of a body unit in pixels."""
    skeleton = _skeleton(keypoints, person_xyxy)
    return skeleton.points, skeleton.unit


def part_boxes(keypoints: Array, person_xyxy: Array) -> tuple[Array, Array]:
    """Boxes of the ten parts around the joints that are visible.

    Args:
        keypoints: (K, 3) of any layout in `parsing.keypoints`.
        person_xyxy: (4,) box of the person; part boxes are clipped to it, widened by 5 %.

    Returns:
        (10, 4) float32 xyxy in the order of PART_NAMES, zeros where not visible, and (10,) bool visible.
    """
    skeleton = _skeleton(keypoints, person_xyxy)
    boxes = np.zeros((len(PART_NAMES), 4), np.float32)
    visible = np.zeros(len(PART_NAMES), bool)
    low, high = np.asarray(person_xyxy[:2], float), np.asarray(person_xyxy[2:], float)
    spare = 0.05 * (high - low)
    for i, name in enumerate(PART_NAMES):
        box = _box_of(skeleton, name)
        if box is None:
            continue
        clipped = np.concatenate([np.clip(corner, low - spare, high + spare) for corner in (box[:2], box[2:])])
        share = np.prod(clipped[2:] - clipped[:2]) / np.prod(box[2:] - box[:2])
        if share >= MIN_SHARE_IN_PERSON:
            boxes[i], visible[i] = clipped, True
    return boxes, visible


def _box_of(skeleton: _Skeleton, name: str) -> Array | None:
    side, _, kind = name.rpartition("_")
    if kind == "head":
        return _head_box(skeleton)
    if kind == "hip":
        found = skeleton.get("left_hip", "right_hip")
        return None if found is None else _around(found, np.array(HIP_MARGIN) * skeleton.unit)
    joints = {
        "arm": ("shoulder", "elbow", "wrist"),
        "leg": ("hip", "knee", "ankle"),
        "hand": ("elbow", "wrist"),
        "foot": ("knee", "ankle"),
    }[kind]
    found = skeleton.get(*(f"{side}_{joint}" for joint in joints))
    if found is None:
        return None
    if kind == "arm":
        return _around(found, ARM_MARGIN * skeleton.unit)
    if kind == "leg":
        return _around(found, LEG_MARGIN * skeleton.unit)
    inner, end = found
    if kind == "hand":
        fingers = skeleton.seen(f"{side}_{finger}{joint}" for finger in FINGERS for joint in ("", 1, 2, 3, 4))
        margin = FINGER_MARGIN if skeleton.get(f"{side}_middle4") else HAND_MARGIN  # the layout has fingertips
        return _around([end, *(fingers or [end + HAND_REACH * (end - inner)])], margin * skeleton.unit)
    sole = skeleton.seen(f"{side}_{joint}" for joint in ("heel", "toe", "small_toe"))
    if sole:
        return _around([end, *sole], FOOT_MARGIN * skeleton.unit)
    return _around([end, end + 0.2 * (end - inner)], 2 * FOOT_MARGIN * skeleton.unit)


def _head_box(skeleton: _Skeleton) -> Array | None:
    """An upright ellipse along the neck, centred a little above the middle of the face."""
    face = skeleton.seen(("nose", "left_eye", "right_eye", "left_ear", "right_ear"))
    if not face:
        return None
    ears = skeleton.middle("ear")
    centre = ears if ears is not None else np.mean(face, axis=0)
    shoulders = skeleton.middle("shoulder")
    up = centre - shoulders if shoulders is not None else np.array([0.0, -1.0])
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    tall, wide = 0.55 * HEAD_UNITS * skeleton.unit, 0.43 * HEAD_UNITS * skeleton.unit
    middle = centre + 0.12 * HEAD_UNITS * skeleton.unit * up
    across = np.array([-up[1], up[0]])
    extent = np.sqrt((tall * up) ** 2 + (wide * across) ** 2)
    nose = _around(face, 0.08 * HEAD_UNITS * skeleton.unit)
    return np.concatenate([np.minimum(middle - extent, nose[:2]), np.maximum(middle + extent, nose[2:])])


def _around(points: list[Array], margin: Array | float) -> Array:
    return np.concatenate([np.min(points, axis=0) - margin, np.max(points, axis=0) + margin])


def part_states(keypoints: Array, person_xyxy: Array, margin: float = 0.0) -> tuple[Array, Array]:
    """States that hold by the rules of this module.

    Args:
        keypoints: (K, 3) of any layout in `parsing.keypoints`.
        person_xyxy: (4,) box of the person, which helps to tell its size.
        margin: what is unknown between two thresholds reaches beyond both by this share of their distance.

    Returns:
        (10, S) bool: holds; and (10, S) bool: known. S follows STATE_NAMES.
    """
    skeleton = replace(_skeleton(keypoints, person_xyxy), margin=margin)
    holds = np.zeros((len(PART_NAMES), len(STATE_NAMES)), bool)
    known = np.zeros_like(holds)
    for i, name in enumerate(PART_NAMES):
        side, _, kind = name.rpartition("_")
        for state, value in _RULES[kind](skeleton, side).items():
            if value is not None:
                j = STATE_NAMES.index(state)
                holds[i, j], known[i, j] = value, True
    return holds, known


def _angle(first: Array, corner: Array, last: Array) -> float:
    """Degrees between two bones that meet at a corner: 180 is straight."""
    return _between(first - corner, last - corner)


def _between(first: Array, second: Array) -> float:
    (x1, y1), (x2, y2) = first.tolist(), second.tolist()  # plain numbers: there are millions of such small vectors in a training
    cosine = (x1 * x2 + y1 * y2) / max(math.hypot(x1, y1) * math.hypot(x2, y2), 1e-6)
    return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))


def _both(*values: bool | None) -> bool | None:
    """Three-valued and: one False decides, all True hold, otherwise unknown."""
    if any(value is False for value in values):
        return False
    return None if any(value is None for value in values) else True


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


_DOWN = np.array([0.0, 1.0])
_States = dict[str, bool | None]


def _arm(skeleton: _Skeleton, side: str) -> _States:
    states: _States = {}
    if joints := skeleton.get(f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist"):
        elbow = _angle(*joints)
        states["bend"], states["unbend"] = skeleton.above(elbow, 130, 150), skeleton.above(elbow, 150, 130)
    if joints := skeleton.get(f"{side}_shoulder", f"{side}_elbow", f"{side}_hip"):
        shoulder, elbow_at, hip = joints
        states["raise"] = skeleton.above(_between(elbow_at - shoulder, hip - shoulder), 80, 60)
    return states


def _hand(skeleton: _Skeleton, side: str) -> _States:
    states: _States = {}
    if joints := skeleton.get(f"{side}_wrist", f"{side}_shoulder"):
        states["raise"] = skeleton.above((joints[1][1] - joints[0][1]) / skeleton.unit, 0.1, 0.0)
    if joints := skeleton.get(f"{side}_wrist", f"{side}_hip"):
        states["lower"] = skeleton.above((joints[0][1] - joints[1][1]) / skeleton.unit, 0.1, -0.1)
    return states


def _height_over_other_ankle(skeleton: _Skeleton, side: str) -> float | None:
    joints = skeleton.get(f"{side}_ankle", f"{'right' if side == 'left' else 'left'}_ankle")
    return None if joints is None else float(joints[1][1] - joints[0][1]) / skeleton.unit


def _leg(skeleton: _Skeleton, side: str) -> _States:
    states: _States = {}
    if joints := skeleton.get(f"{side}_hip", f"{side}_knee", f"{side}_ankle"):
        knee, lean = _angle(*joints), _between(joints[2] - joints[0], _DOWN)
        states["bend"] = skeleton.above(knee, 140, 155)
        states["stand"] = _both(skeleton.above(knee, 155, 145), skeleton.above(lean, 30, 40))
    height = _height_over_other_ankle(skeleton, side)
    if height is not None:
        states["lift"] = skeleton.above(height, 0.3, 0.15)
    return states


def _foot(skeleton: _Skeleton, side: str) -> _States:
    height = _height_over_other_ankle(skeleton, side)
    if height is None:
        return {}
    lifted = skeleton.above(height, 0.2, 0.1)
    states: _States = {"lift": lifted}
    if joints := skeleton.get(f"{side}_knee", f"{side}_ankle"):
        states["stand"] = _both(_not(lifted), skeleton.above(_between(joints[1] - joints[0], _DOWN), 50, 65))
    return states


def _hip(skeleton: _Skeleton, _: str) -> _States:
    shoulders, hips, knees, ankles = (skeleton.between(joint) for joint in ("shoulder", "hip", "knee", "ankle"))
    if shoulders is None or hips is None or knees is None:
        return {}
    lean, hip = _between(shoulders - hips, -_DOWN), _angle(shoulders, hips, knees)
    states: _States = {"stand": _both(skeleton.above(lean, 25, 35), skeleton.above(hip, 150, 140))}
    below = (knees[1] - hips[1]) / skeleton.unit > 0.2
    states["stoop"] = _both(skeleton.above(lean, 45, 35), skeleton.above(hip, 145, 155), bool(below))
    if ankles is not None:
        states["sit"] = _both(
            skeleton.above(lean, 45, 55), skeleton.above(hip, 120, 135), skeleton.above(_angle(hips, knees, ankles), 130, 145)
        )
    return states


def _head(skeleton: _Skeleton, _: str) -> _States:
    shoulders, ears, nose = skeleton.between("shoulder"), skeleton.middle("ear"), skeleton.points.get("nose")
    if shoulders is None or ears is None or nose is None:
        return {}
    neck = _between(ears - shoulders, -_DOWN)
    drop, aside = (nose[1] - ears[1]) / skeleton.unit, abs(nose[0] - ears[0]) / skeleton.unit
    low, tilted = skeleton.above(drop, 0.12, 0.06), skeleton.above(neck, 45, 35)
    bowed = _not(_both(_not(low), _not(tilted)))
    states: _States = {"bow": bowed, "upright": _both(skeleton.above(neck, 20, 30), _not(bowed))}
    if skeleton.get("left_ear", "right_ear"):
        states["turn"] = skeleton.above(aside, 0.15, 0.08)
    return states


_RULES = {"head": _head, "hip": _hip, "arm": _arm, "hand": _hand, "leg": _leg, "foot": _foot}

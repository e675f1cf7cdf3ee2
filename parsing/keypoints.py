"""Orders of keypoints: the joints' names by how many there are. Left and right are the person's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
    "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip
# COCO's joints after a mirror.
COCO_SWAP = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
BLAZEPOSE_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer", "left_ear", "right_ear",
    "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel", "right_heel", "left_toe", "right_toe",
)  # fmt: skip
FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HAND = ("wrist2", *(f"{finger}{i}" for finger in FINGERS for i in range(1, 5)))
_FEET = ("left_toe", "right_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel")
FACE_NAMES = tuple(f"face{i}" for i in range(68))
HALPE26_NAMES = (*COCO_NAMES, "head_top", "neck", "hip", *_FEET)


def hand_names(side: str) -> tuple[str, ...]:
    """21 joints of a hand, from the wrist outwards, thumb first."""
    return tuple(f"{side}_{joint}" for joint in _HAND)


def foot_names() -> tuple[str, ...]:
    """COCO-WholeBody's six joints of feet."""
    return tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("toe", "small_toe", "heel"))


_HANDS = (*hand_names("left"), *hand_names("right"))
# COCO, Halpe without face and hands, BlazePose, COCO-WholeBody (Jin et al., ECCV 2020), Halpe (Fang et al., TPAMI 2022).
LAYOUTS = {
    len(names): names
    for names in (
        COCO_NAMES,
        HALPE26_NAMES,
        BLAZEPOSE_NAMES,
        (*COCO_NAMES, *foot_names(), *FACE_NAMES, *_HANDS),
        (*HALPE26_NAMES, *FACE_NAMES, *_HANDS),
    )
}
_COCO_PLACES = {count: [names.index(name) for name in COCO_NAMES] for count, names in LAYOUTS.items()}


def counts_text(counts: Iterable[int] = LAYOUTS) -> str:
    """The numbers of keypoints that are known, for messages."""
    return ", ".join(map(str, sorted(counts)))


def coco_keypoints(keypoints: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., 17, 3) in COCO order from (..., K, 3) keypoints of any layout."""
    return keypoints[..., _COCO_PLACES[keypoints.shape[-2]], :]

import numpy as np
import pytest
from builders import box_around, skeleton

from parsing.pose import STATE_NAMES, part_boxes, part_states, pose_vocabulary
from parsing.types import Array
from parsing.vocabulary import PART_NAMES, flip_permutation


def states_of(keypoints: Array) -> dict[str, set[str]]:
    """The states that hold and are known, by part."""
    holds, known = part_states(keypoints, box_around(keypoints))
    return {part: {STATE_NAMES[s] for s in np.flatnonzero(holds[p] & known[p])} for p, part in enumerate(PART_NAMES)}


def test_standing() -> None:
    states = states_of(skeleton())
    for side in ("left", "right"):
        assert states[f"{side}_arm"] == {"unbend"}
        assert states[f"{side}_hand"] == set()  # hands at hip height: neither raised nor clearly lowered
        assert states[f"{side}_leg"] == {"stand"}
        assert states[f"{side}_foot"] == {"stand"}
    assert states["hip"] == {"stand"}
    assert states["head"] == {"upright"}


def test_arms_to_the_sides() -> None:
    states = states_of(skeleton(left_elbow=(155, 45), left_wrist=(190, 45), right_elbow=(45, 45), right_wrist=(10, 45)))
    assert states["left_arm"] == {"unbend", "raise"}
    assert states["left_hand"] == set()


def test_one_arm_up_and_bent() -> None:
    states = states_of(skeleton(right_elbow=(60, 15), right_wrist=(95, -5)))
    assert states["right_arm"] == {"bend", "raise"}
    assert states["right_hand"] == {"raise"}
    assert states["left_arm"] == {"unbend"}


def test_hands_below_the_hips() -> None:
    assert states_of(skeleton(left_wrist=(124, 122)))["left_hand"] == {"lower"}


def test_sitting_seen_from_the_side() -> None:
    seated = skeleton(left_knee=(160, 108), right_knee=(158, 108), left_ankle=(160, 155), right_ankle=(158, 155))
    states = states_of(seated)
    assert states["hip"] == {"sit"}
    assert states["left_leg"] == {"bend"}


def test_stooping() -> None:
    bent = skeleton(
        left_shoulder=(165, 100), right_shoulder=(162, 102), nose=(192, 118), left_ear=(185, 106), right_ear=(184, 107),
        left_eye=(190, 112), right_eye=(189, 113), left_elbow=(168, 130), right_elbow=(164, 131),
        left_wrist=(170, 160), right_wrist=(166, 160),
    )  # fmt: skip
    states = states_of(bent)
    assert states["hip"] == {"stoop"}
    assert "bow" in states["head"]
    assert states["left_leg"] == {"stand"}


def test_a_lifted_leg() -> None:
    states = states_of(skeleton(left_knee=(135, 112), left_ankle=(140, 160)))
    assert states["left_leg"] == {"bend", "lift"}
    assert states["left_foot"] == {"lift"}
    assert states["right_leg"] == {"stand"}


def test_a_turned_head() -> None:
    assert "turn" in states_of(skeleton(nose=(118, 20)))["head"]


def test_mirrored_person_has_swapped_states() -> None:
    keypoints = skeleton(right_elbow=(60, 15), right_wrist=(95, -5), left_knee=(135, 112), left_ankle=(140, 160))
    mirrored = keypoints.copy()
    mirrored[:, 0] = 200 - mirrored[:, 0]
    pairs = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    mirrored = mirrored[pairs]
    holds, known = part_states(keypoints, box_around(keypoints))
    mirrored_holds, mirrored_known = part_states(mirrored, box_around(mirrored))
    swap = flip_permutation(PART_NAMES)
    assert np.array_equal(holds[swap], mirrored_holds)
    assert np.array_equal(known[swap], mirrored_known)
    boxes, _ = part_boxes(keypoints, box_around(keypoints))
    mirrored_boxes, _ = part_boxes(mirrored, box_around(mirrored))
    assert mirrored_boxes[:, 0] == pytest.approx(200 - boxes[swap][:, 2], abs=0.01)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_scale_does_not_matter(scale: float) -> None:
    keypoints = skeleton(right_elbow=(60, 15), right_wrist=(95, -5))
    scaled = keypoints * np.array([scale, scale, 1], np.float32)
    holds, known = part_states(keypoints, box_around(keypoints))
    box = box_around(keypoints) * scale
    scaled_holds, scaled_known = part_states(scaled, box)
    assert np.array_equal(holds, scaled_holds)
    assert np.array_equal(known, scaled_known)


def test_boxes_hold_their_joints_and_not_more() -> None:
    keypoints = skeleton()
    boxes, visible = part_boxes(keypoints, box_around(keypoints))
    assert visible.all()
    left_arm = boxes[PART_NAMES.index("left_arm")]
    assert left_arm[0] < 120
    assert left_arm[1] < 45
    assert left_arm[3] > 110
    assert left_arm[2] - left_arm[0] > 12  # a straight arm is no sliver
    head = boxes[PART_NAMES.index("head")]
    assert head[1] < 8  # the crown lies above the eyes
    assert head[3] < 45
    foot, leg = boxes[PART_NAMES.index("left_foot")], boxes[PART_NAMES.index("left_leg")]
    assert foot[1] > leg[1]
    assert foot[3] > 195


def test_nothing_visible_gives_nothing() -> None:
    hidden = skeleton() * np.array([1, 1, 0], np.float32)
    boxes, visible = part_boxes(hidden, np.array([0, 0, 200, 200], np.float32))
    _, known = part_states(hidden, np.array([0, 0, 200, 200], np.float32))
    assert not visible.any()
    assert not known.any()
    assert not boxes.any()


def test_a_hidden_joint_hides_only_what_needs_it() -> None:
    keypoints = skeleton()
    keypoints[9, 2] = 0  # left wrist
    _, visible = part_boxes(keypoints, box_around(keypoints))
    assert [name for name, seen in zip(PART_NAMES, visible, strict=True) if not seen] == ["left_arm", "left_hand"]


def test_all_joints_in_one_point_is_no_accident() -> None:
    keypoints = np.zeros((17, 3), np.float32) + np.array([5, 5, 2], np.float32)
    boxes, _ = part_boxes(keypoints, np.array([0, 0, 10, 10], np.float32))
    part_states(keypoints, np.array([0, 0, 10, 10], np.float32))
    assert np.isfinite(boxes).all()


def test_blazepose_takes_hands_and_feet_from_their_own_points() -> None:
    coco, points = skeleton(), np.zeros((33, 3), np.float32)
    for target, source in zip((0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28), range(17), strict=True):
        points[target] = (*coco[source, :2], 1)
    points[31], points[29] = (140, 200, 1), (105, 200, 1)  # left toe and heel
    boxes, visible = part_boxes(points, np.array([0, 0, 220, 220], np.float32))
    foot = boxes[PART_NAMES.index("left_foot")]
    assert foot[2] > 140
    assert foot[0] < 105
    assert visible[PART_NAMES.index("left_hand")]


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one of 17, 26, 33, 133, 136"):
        part_boxes(np.zeros((16, 3), np.float32), np.zeros(4, np.float32))


@pytest.mark.parametrize("hidden", [5, 6, 11, 12, 13, 14])  # a shoulder, a hip, a knee
def test_half_of_a_trunk_tells_nothing_of_it(hidden: int) -> None:
    """The front knee of a lunge alone would look like sitting, one shoulder alone like leaning."""
    lunge = skeleton(left_knee=(160, 108), left_ankle=(160, 155))
    assert "sit" not in states_of(lunge)["hip"]
    lunge[hidden, 2] = 0
    holds, known = part_states(lunge, box_around(lunge))
    assert not known[PART_NAMES.index("hip")].any()
    if hidden < 7:
        assert not known[PART_NAMES.index("head")].any()
    assert not (holds & ~known).any()


def test_a_margin_widens_what_is_unknown() -> None:
    """An elbow of 160 degrees is straight beyond 150, and unknown where the 20 degrees between the thresholds reach 155 or 165."""
    arm = skeleton(right_elbow=(80, 80), right_wrist=(80 - 35 * np.sin(np.deg2rad(20)), 80 + 35 * np.cos(np.deg2rad(20))))
    arm[6, :2] = (80, 45)
    p, straight = PART_NAMES.index("right_arm"), STATE_NAMES.index("unbend")
    for margin, sure in ((0.0, True), (0.25, True), (0.75, False)):
        holds, known = part_states(arm, box_around(arm), margin)
        assert known[p, straight] == sure
        assert holds[p, straight] == sure


def test_states_that_exclude_each_other_never_hold_together() -> None:
    vocabulary, random = pose_vocabulary(()), np.random.default_rng(0)
    for _ in range(200):
        points = np.column_stack([random.uniform(0, 200, (17, 2)), np.ones(17)])
        holds, known = part_states(points, box_around(points))
        for p, groups in enumerate(vocabulary.exclusive):
            for group in groups:
                columns = [STATE_NAMES.index(state) for state in group]
                assert (holds & known)[p, columns].sum() <= 1

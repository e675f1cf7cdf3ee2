from pathlib import Path

import cv2
import numpy as np
import pytest

from detectors.views import PartViews, PersonViews, collate, keep_visible
from parsing import PART_NAMES, InputError
from parsing.datasets.records import ImageRecord, ObjectRecord
from parsing.learning.augmentation import flip_view, view_matrix, warp_boxes, warp_image, warp_points
from parsing.media.images import read_image
from parsing.pose import part_boxes
from parsing.vocabulary import flip_permutation


def standing(height: float = 160, left: float = 40, top: float = 20) -> np.ndarray:
    """(17, 3) COCO keypoints of a person who faces the camera."""
    share = {
        0: (0.5, 0.06), 1: (0.53, 0.05), 2: (0.47, 0.05), 3: (0.56, 0.06), 4: (0.44, 0.06), 5: (0.64, 0.2), 6: (0.36, 0.2),
        7: (0.68, 0.36), 8: (0.32, 0.36), 9: (0.7, 0.5), 10: (0.3, 0.5), 11: (0.58, 0.52), 12: (0.42, 0.52), 13: (0.58, 0.74),
        14: (0.42, 0.74), 15: (0.58, 0.94), 16: (0.42, 0.94),
    }  # fmt: skip
    return np.array([(left + x * height * 0.5, top + y * height, 2.0) for _, (x, y) in sorted(share.items())], np.float32)


@pytest.fixture
def record(tmp_path: Path) -> ImageRecord:
    image = np.full((200, 160, 3), 200, np.uint8)
    image[20:180, 40:120] = (30, 90, 160)
    cv2.imwrite(str(tmp_path / "a.png"), image[:, :, ::-1])
    person = ObjectRecord(np.array([40, 20, 120, 180], np.float32), standing(), None, False, "human")
    crowd = ObjectRecord(np.array([0, 0, 30, 30], np.float32), None, None, True, "human")
    return ImageRecord(tmp_path / "a.png", (200, 160), (person, crowd), "made")


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"x\.jpg: not a readable image"):
        read_image(tmp_path / "x.jpg")


def test_views_repeat_for_a_seed_and_differ_between_seeds(record: ImageRecord) -> None:
    views = PersonViews([record], ("person",), np.arange(1), 96, mosaic=0.5, rotation_deg=10)
    assert np.array_equal(views[(0, 7)].image, views[(0, 7)].image)
    assert not np.array_equal(views[(0, 7)].image, views[(0, 8)].image)


def test_views_boxes_follow_the_pixels(record: ImageRecord) -> None:
    views = PersonViews([record], ("person",), np.arange(1), 128, mosaic=0.0, rotation_deg=0)
    checked = 0
    for seed in range(30):
        view = views[(0, seed)]
        for box in view.boxes:
            x0, y0, x1, y1 = box.round().astype(int)
            inside = view.image[y0 + 3 : y1 - 3, x0 + 3 : x1 - 3].reshape(-1, 3).astype(float)
            grey = float(np.abs(inside - inside.mean(0)).mean())
            assert grey < 25  # one flat colour: the person's
            checked += 1
    assert checked > 10


def test_crowds_are_ignored(record: ImageRecord) -> None:
    seen = [PersonViews([record], ("person",), np.arange(1), 128, 0.0, 0.0)[(0, seed)] for seed in range(20)]
    assert all(len(view.boxes) <= 1 for view in seen)
    assert any(len(view.ignored) for view in seen)


def test_left_and_right_objects_change_places_in_a_mirrored_view(tmp_path: Path) -> None:
    """A red left shoe at the left edge, a blue right one at the right edge: mirrored, what is left in the picture is still left."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:40, 4:24], picture[20:40, 40:60] = (0, 0, 255), (255, 0, 0)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    boxes = {"left_shoe": [4, 20, 24, 40], "right_shoe": [40, 20, 60, 40]}
    objects = tuple(ObjectRecord(np.array(box, np.float32), label=name) for name, box in boxes.items())
    record = ImageRecord(tmp_path / "a.png", (64, 64), objects, "made")
    views = PersonViews([record], tuple(boxes), np.array([1, 0]), 64, 0.0, 0.0)
    orders = set()
    for view in (views[0, seed] for seed in range(12)):
        if sorted(view.labels.tolist()) == [1, 2]:
            left, right = view.boxes[np.argsort(view.labels)]
            assert left[0] < right[0]
            red, _, blue = view.image[int(left[1]) + 3, int(left[0]) + 3].astype(int)
            orders.add(bool(red > blue))
    assert orders == {False, True}


def test_part_views_swap_sides_when_flipped(record: ImageRecord) -> None:
    views = PartViews([record], PART_NAMES, flip_permutation(PART_NAMES), 96, context=1.2, rotation_deg=0, heatmaps=False)
    left, right = PART_NAMES.index("left_arm") + 1, PART_NAMES.index("right_arm") + 1
    for seed in range(20):
        view = views[(0, seed)]
        middle = {int(label): (box[0] + box[2]) / 2 for label, box in zip(view.labels, view.boxes, strict=True)}
        if left in middle and right in middle:  # the person faces the camera, mirrored or not
            assert middle[left] > middle[right]


def test_turned_part_boxes_stay_tight() -> None:
    keypoints, box = standing(), np.array([40, 20, 120, 180], np.float32)
    matrix = view_matrix(np.array([80, 100]), 1.0, 90, 200)
    turned = np.concatenate([warp_points(keypoints[:, :2], matrix), keypoints[:, 2:]], 1)
    before, _ = part_boxes(keypoints, box)
    after, _ = part_boxes(turned, warp_boxes(box[None], matrix)[0])
    leg = PART_NAMES.index("left_leg")
    size = before[leg, 2:] - before[leg, :2]
    np.testing.assert_allclose(after[leg, 2:] - after[leg, :2], size[::-1], rtol=0.15)


def test_warp_moves_points_boxes_and_pixels_alike() -> None:
    image = np.zeros((100, 120, 3), np.uint8)
    image[40:50, 60:90] = 255
    for scale in (0.25, 1.0, 2.0):
        matrix = view_matrix(np.array([70, 45]), scale, 0, 96)
        box = warp_boxes(np.array([[60, 40, 90, 50]], float), matrix)[0]
        bright = np.argwhere(warp_image(image, matrix, 96)[:, :, 0] > 127)
        np.testing.assert_allclose(box, [*bright.min(0)[::-1], *(bright.max(0)[::-1] + 1)], atol=1.5)


def test_flip_and_clip() -> None:
    image = np.arange(30, dtype=np.uint8).reshape(2, 5, 3)
    flipped, boxes = flip_view(image, np.array([[0, 0, 2, 1]], float))
    assert np.array_equal(flipped[:, 0], image[:, 4])
    assert boxes.tolist() == [[3, 0, 5, 1]]
    boxes = np.array([[-10, 0, 10, 10], [-90, 0, 10, 10], [200, 0, 210, 10], [0, 0, 2, 20]], np.float32)
    kept, labels, rest = keep_visible(boxes, np.arange(4), 100)
    assert labels.tolist() == [0]
    assert kept.tolist() == [[0, 0, 10, 10]]
    assert rest.tolist() == [[0, 0, 10, 10], [0, 0, 2, 20]]


def test_collate(record: ImageRecord) -> None:
    views = PersonViews([record], ("person",), np.arange(1), 64, 0.0, 0.0)
    images, targets = collate([views[(0, 1)], views[(0, 2)]])
    assert images.shape == (2, 3, 64, 64)
    assert len(targets) == 2

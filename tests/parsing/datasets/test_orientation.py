"""Annotations of pictures that EXIF turns: a bright rectangle must lie in its box, whichever way it was annotated."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from parsing.datasets import Problems, read_coco
from parsing.errors import InputError
from parsing.media.images import ImageHeader, read_header, read_image
from parsing.media.orientation import EXIF_ORIENTATIONS, Orientation

STORED_HW, BOX, POINT = (40, 64), (8, 16, 16, 8), (8, 16)  # x, y, width, height in the stored picture, and its first corner
ALL = range(1, 9)


def picture(path: Path, orientation: int, hw: tuple[int, int] = STORED_HW) -> None:
    pixels = np.zeros((*hw, 3), np.uint8)
    x, y, width, height = BOX
    pixels[y : y + height, x : x + width] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, quality=100, exif=exif)


def document(path: Path, names: dict[str, tuple[int, int]], bbox: tuple[float, ...] = BOX) -> Path:
    """Each image with its (height, width) as the file gives it, and one person with a box and one joint."""
    joints = [0] * 51
    joints[15:18] = [*POINT, 2]  # left shoulder
    images: list[dict[str, Any]] = [
        {"id": i, "file_name": name, "height": hw[0], "width": hw[1]} for i, (name, hw) in enumerate(names.items())
    ]
    rows = [{"id": i, "image_id": i, "bbox": list(bbox), "keypoints": joints} for i in range(len(images))]
    path.write_text(json.dumps({"images": images, "annotations": rows}))
    return path


def assert_bright_inside(path: Path, xyxy: np.ndarray) -> None:
    bright = read_image(path)[..., 0] > 127
    x0, y0, x1, y1 = xyxy.astype(int)
    assert bright[y0:y1, x0:x1].all()
    assert bright.sum() == (x1 - x0) * (y1 - y0) == 128


def test_boxes_of_the_stored_picture_follow_every_orientation(tmp_path: Path) -> None:
    for orientation in ALL:
        picture(tmp_path / f"{orientation}.jpg", orientation)
    path = document(tmp_path / "a.json", {f"{orientation}.jpg": STORED_HW for orientation in ALL})
    for record in read_coco(path, tmp_path):
        (person,) = record.persons
        assert record.image_hw == read_image(record.path).shape[:2]
        np.testing.assert_array_equal(read_image(record.path), np.array(ImageOps.exif_transpose(Image.open(record.path))))
        assert_bright_inside(record.path, person.xyxy)
        assert person.keypoints17 is not None
        assert person.keypoints17[5, 2] == 2  # still the left shoulder
        header = read_header(record.path)
        corner = header.orientation.turn_points(np.array([POINT]), header.shown_hw)[0]
        np.testing.assert_array_equal(person.keypoints17[5, :2], corner)
        assert corner[0] in person.xyxy[::2]
        assert corner[1] in person.xyxy[1::2]
        assert not person.keypoints17[6].any()  # what is not annotated stays nothing


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (10, 4)),
        (2, (54, 4)),
        (3, (54, 36)),
        (4, (10, 36)),
        (5, (4, 10)),
        (6, (36, 10)),
        (7, (36, 54)),
        (8, (4, 54)),
    ],
)
def test_points_by_hand(orientation: int, expected: tuple[int, int]) -> None:
    """(10, 4) in a picture of 64 x 40 px."""
    header = ImageHeader(STORED_HW, EXIF_ORIENTATIONS[orientation])
    assert header.orientation.turn_points(np.array([[10, 4]]), header.shown_hw).tolist() == [list(expected)]


def test_boxes_of_the_shown_picture_stay(tmp_path: Path) -> None:
    picture(tmp_path / "6.jpg", 6)
    picture(tmp_path / "3.jpg", 3)
    shown = (16, 8, 8, 16)  # (x, y) is shown at (40 - y, x): 40 - 24 = 16, 8
    path = document(tmp_path / "a.json", {"6.jpg": (64, 40), "3.jpg": STORED_HW}, shown)
    turned, half = read_coco(path, tmp_path)
    assert_bright_inside(turned.path, turned.persons[0].xyxy)
    assert half.persons[0].xyxy.tolist() == [16, 8, 24, 24]  # the other image tells that boxes lie in shown pictures


def test_without_any_hint_boxes_lie_in_the_shown_picture_and_a_note_says_so(tmp_path: Path) -> None:
    picture(tmp_path / "3.jpg", 3)
    problems = Problems()
    (record,) = read_coco(document(tmp_path / "a.json", {"3.jpg": STORED_HW}), tmp_path, (), problems)
    assert record.persons[0].xyxy.tolist() == [8, 16, 24, 24]
    assert len(problems.notes) == 1
    assert "1 images are turned by EXIF without a change of size" in problems.notes[0]


def test_any_other_size_is_a_problem_of_the_image(tmp_path: Path) -> None:
    picture(tmp_path / "1.jpg", 1)
    picture(tmp_path / "6.jpg", 6)
    path = document(tmp_path / "a.json", {"1.jpg": (64, 40), "6.jpg": (80, 128)})
    with pytest.raises(InputError, match=r"a\.json: image 0: .*1\.jpg: 64 x 40 px, annotations say 40 x 64"):
        read_coco(path, tmp_path)
    problems = Problems("skip")
    assert read_coco(path, tmp_path, (), problems) == []
    assert len(problems.found) == 2  # one an image, none for its annotations
    assert "6.jpg: 40 x 64 px, annotations say 128 x 80" in problems.found[1]


def test_sizes_that_a_file_does_not_give_come_from_the_image(tmp_path: Path) -> None:
    """As in PoseTrack18's own files."""
    picture(tmp_path / "6.jpg", 6)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "6.jpg"}], "annotations": []}))
    assert read_coco(path, tmp_path)[0].image_hw == (64, 40)


def test_orientations_out_of_range_are_none(tmp_path: Path) -> None:
    picture(tmp_path / "9.jpg", 9)
    assert read_header(tmp_path / "9.jpg") == ImageHeader(STORED_HW, Orientation())

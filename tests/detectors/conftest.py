from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import box_around, skeleton

from parsing.formats.writing import write_coco
from parsing.records import ImageRecord, ObjectRecord


def _picture(folder: Path, name: str, keypoints: np.ndarray) -> ImageRecord:
    image = np.full((220, 200, 3), 190, np.uint8)
    x0, y0, x1, y1 = box_around(keypoints).astype(int)
    image[max(0, y0) : y1, max(0, x0) : x1] = (40, 90, 170)
    for x, y, _ in keypoints.astype(int):
        cv2.circle(image, (int(x), int(y)), 5, (220, 60, 60), -1)
    cv2.imwrite(str(folder / name), image)
    return ImageRecord(folder / name, (220, 200), (ObjectRecord(box_around(keypoints).clip(0, 200), keypoints),), "made")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight painted persons: annotations_train.json, annotations_val.json, images/."""
    root = tmp_path_factory.mktemp("people")
    images = root / "images"
    images.mkdir()
    records = [_picture(images, f"{i}.png", skeleton(left_wrist=(130 + 4 * i, 110 - 9 * i))) for i in range(8)]
    info: dict[str, Any] = {}
    write_coco(records, root / "annotations_train.json", images, info)
    write_coco(records[:3], root / "annotations_val.json", images, info)
    return root

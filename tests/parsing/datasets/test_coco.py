import json
from pathlib import Path
from typing import Any

import pytest

from parsing.datasets import read_coco
from parsing.errors import InputError


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def image(**more: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.jpg", "height": 20, "width": 30, **more}


def test_boxes_become_corners_and_keypoints_arrays(tmp_path: Path) -> None:
    person = {"image_id": 1, "bbox": [1, 2, 3, 4], "keypoints": list(range(51)), "keypoints33": [0] * 99, "iscrowd": 1}
    path = write(tmp_path / "c.json", {"images": [image(source="x", action="run")], "annotations": [person]})
    (record,) = read_coco(path, tmp_path)
    assert record.persons[0].xyxy.tolist() == [1, 2, 4, 6]
    assert record.persons[0].crowd
    assert record.persons[0].keypoints17 is not None
    assert record.persons[0].keypoints17.shape == (17, 3)
    assert record.persons[0].keypoints33 is None  # all zeros: not labelled
    assert (record.source, record.action, record.image_hw) == ("x", "run", (20, 30))


def test_sources_are_picked(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", {"images": [image(source="x"), image(id=2, source="y")], "annotations": []})
    assert [record.source for record in read_coco(path, tmp_path, ("y",))] == ["y"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "expected COCO lists"),
        ({"images": []}, "expected COCO lists"),
        ({"images": [image()], "annotations": [{"id": 7, "image_id": 1, "bbox": [1, 2]}]}, "annotation 7: "),
        ({"images": [image()], "annotations": [{"id": 8, "image_id": 1, "bbox": [1, 2, 3, 4], "keypoints": [1]}]}, "annotation 8"),
        ({"images": [{"id": 3, "file_name": "a"}], "annotations": []}, "image 3: lacks"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"c\.json: .*{message}"):
        read_coco(write(tmp_path / "c.json", value), tmp_path)


def test_text_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_coco(tmp_path / "none.json", tmp_path)
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_coco(tmp_path / "t.json", tmp_path)

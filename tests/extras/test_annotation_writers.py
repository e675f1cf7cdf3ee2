"""Annotations as the tools' own libraries write them. Skipped where these are not installed; they come with much else:

python -m pip install --target SCRATCH --no-deps datumaro==1.13.12 label-studio-sdk==2.1.2
PYTHONPATH=SCRATCH python -m pytest tests/extras/test_annotation_writers.py
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from parsing.datasets import Problems, read_records

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries warn of parts of their own
PERSONS, GLOVES = ([10, 10, 50, 80], [70, 10, 50, 80]), ([12, 40, 10, 10], [72, 40, 10, 10])  # x, y, width, height
EXPECTED = [([10, 10, 60, 90], [12, 40, 22, 50]), ([70, 10, 120, 90], [72, 40, 82, 50])]


def test_cvat_as_datumaro_writes_it(tmp_path: Path) -> None:
    pytest.importorskip("datumaro.plugins.data_formats.cvat.exporter")
    from datumaro.components.annotation import AnnotationType, Bbox, LabelCategories
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    labels = LabelCategories()
    labels.add("person")
    labels.add("glove", attributes={"fist"})
    boxes = [Bbox(*PERSONS[0], label=0, group=1), Bbox(*PERSONS[1], label=0)]
    boxes += [Bbox(*GLOVES[0], label=1, group=1, attributes={"fist": True}), Bbox(*GLOVES[1], label=1, attributes={"fist": False})]
    picture = Image.from_numpy(data=np.zeros((96, 128, 3), np.uint8), ext=".png")
    item = DatasetItem(id="a", subset="train", media=picture, annotations=boxes)
    dataset = Dataset.from_iterable([item], categories={AnnotationType.label: labels})
    dataset.export(str(tmp_path), "cvat", save_media=True)
    (record,) = read_records("cvat", tmp_path / "train.xml", tmp_path / "images", Problems())
    assert [(person.xyxy.tolist(), person.parts[0].xyxy.tolist()) for person in record.persons] == EXPECTED
    assert [dict(person.parts[0].states) for person in record.persons] == [{"fist": True}, {"fist": False}]


def test_label_studio_as_its_own_converter_writes_it(tmp_path: Path) -> None:
    coco = pytest.importorskip("label_studio_sdk.converter.imports.coco")
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((96, 128, 3), np.uint8))
    annotations = [
        {"id": i, "image_id": 1, "category_id": category, "bbox": box, "iscrowd": 0, "segmentation": []}
        for i, (category, box) in enumerate([*((1, box) for box in PERSONS), *((2, box) for box in GLOVES)], 1)
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "glove"}]
    images = [{"id": 1, "file_name": "a.png", "width": 128, "height": 96}]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
    coco.convert_coco_to_ls(str(tmp_path / "coco.json"), str(tmp_path / "tasks.json"), image_root_url="/data/local-files/?d=")
    (record,) = read_records("label_studio", tmp_path / "tasks.json", tmp_path, Problems())
    found = [(person.xyxy.round(3).tolist(), person.parts[0].xyxy.round(3).tolist()) for person in record.persons]
    assert found == EXPECTED

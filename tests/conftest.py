import os
from pathlib import Path

import pytest
from builders import painted_person, skeleton, write_tiny_pipeline

from parsing.datasets.writing import write_coco

# Tests of runtimes name theirs; all others need not wait for graphs to be exported.
os.environ["PARTWISE_RUNTIME"] = "torch"


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config of a pipeline of small untrained networks."""
    return write_tiny_pipeline(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def development_data() -> Path:
    """Real images and clips, which are not part of the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("development data is not here")
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of eight painted persons: annotations_train.json, annotations_val.json, images/."""
    root = tmp_path_factory.mktemp("people")
    images = root / "images"
    images.mkdir()
    records = [painted_person(images, f"{i}.png", skeleton(left_wrist=(130 + 4 * i, 110 - 9 * i))) for i in range(8)]
    write_coco(records, root / "annotations_train.json", images, {})
    write_coco(records[:3], root / "annotations_val.json", images, {})
    return root

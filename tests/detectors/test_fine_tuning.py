"""Fine-tuning the shipped part detector on a few real pictures, against the same steps from weights of ImageNet."""

import json
from pathlib import Path

import pytest

from detectors.train import DetectorTraining
from parsing.configs import override, parse_config, read_yaml
from parsing.learning.experiment import experiment

ROOT = Path(__file__).parents[2]
PEOPLE = ROOT.parent / "shared/data/people"


@pytest.mark.skipif(not PEOPLE.is_dir(), reason="wants the development data")
def test_twenty_pictures_teach_more_from_the_shipped_weights_than_from_imagenet(tmp_path: Path) -> None:
    for split, count in (("train", 20), ("val", 8)):
        document = json.loads((PEOPLE / f"annotations_{split}.json").read_text())
        document["images"] = [image for image in document["images"] if image["source"] == "exercise"][:count]
        ids = {image["id"] for image in document["images"]}
        document["annotations"] = [row for row in document["annotations"] if row["image_id"] in ids]
        (tmp_path / f"annotations_{split}.json").write_text(json.dumps(document))
    (tmp_path / "images").symlink_to(PEOPLE / "images")
    changes = [f"data.root={tmp_path}", "fit.epochs=1", "fit.batch_size=4", "fit.precision=32-true"]
    figures = {}
    for config, more in (("compact", []), ("movenet", ["data.more=[]", "initial=default/part_detector"])):
        settings = override(read_yaml(ROOT / f"configs/part_detector/{config}.yaml"), [*changes, *more])
        experiment(parse_config(DetectorTraining, settings, "t"), tmp_path / config, quiet=True)
        figures[config] = json.loads((tmp_path / config / "metrics.jsonl").read_text())["all"]["AP50"]
    assert figures["movenet"] > figures["compact"] + 0.2

from pathlib import Path

import pytest

from parsing.configs import read_yaml
from pipelines.settings import read_pipeline
from pipelines.trainings import training_config

ROOT = Path(__file__).parents[2]
TRAININGS = sorted((ROOT / "configs").glob("*/*.yaml"))


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_training_configs_fit_and_open_with_their_command(path: Path) -> None:
    training_config(path.parent.name, read_yaml(path), str(path))
    head = path.read_text().splitlines()[1]
    assert head.startswith(f"# python -m pipelines.train {path.parent.name} --config {path.relative_to(ROOT)}")


def test_the_default_pipeline_is_whole() -> None:
    pipeline = read_pipeline("default")
    assert [config.name for config in (*pipeline.stages.values(), *pipeline.recognizers)] == [
        "cascade_rcnn",
        "bytetrack",
        "cascade_rcnn",
        "part_state_net",
        "tsm",
    ]

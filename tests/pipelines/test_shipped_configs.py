import json
import shlex
from pathlib import Path

import pytest
import torch

from detectors.labelling.pseudo_labels import PseudoLabelConfig
from detectors.networks import build_network, parse_architecture
from parsing.configs import override, parse_config, read_yaml
from parsing.networks.backbones import Backbone
from parsing.states.network import PartStateArchitecture
from pipelines import train
from pipelines.ablate import Ablation, slug
from pipelines.parse.config import read_pipeline
from pipelines.stages import STAGES
from pipelines.trainings import training_config

ROOT = Path(__file__).parents[2]


def stage_of(path: Path) -> str | None:
    """Configs lie in a folder of their stage, those of a benchmark begin with its name."""
    return next((stage for stage in STAGES if path.parent.name == stage or path.stem.startswith(stage)), None)


TRAININGS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if stage_of(path) and path.parent.name != "ablations")
DETECTORS = [path for path in TRAININGS if str(stage_of(path)).endswith("_detector")]
STATES = [path for path in TRAININGS if stage_of(path) == "part_states"]


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_training_configs_fit_and_open_with_their_command(path: Path) -> None:
    stage = str(stage_of(path))
    training_config(stage, read_yaml(path), str(path))
    commands = [line for line in path.read_text().splitlines() if line.startswith("# python -m")]
    assert commands[0].startswith(f"# python -m pipelines.train {stage} --config {path.relative_to(ROOT)}")
    words = shlex.split(commands[0].removeprefix("# python -m pipelines.train "))
    override(read_yaml(path), train.build_parser().parse_args(words).set)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_row_of_an_ablation_fits(path: Path) -> None:
    ablation = parse_config(Ablation, read_yaml(path), str(path))
    assert path.read_text().splitlines()[1].startswith(f"# python -m pipelines.ablate {path.relative_to(ROOT)}")
    assert len({slug(row.name) for row in ablation.rows}) == len(ablation.rows)
    for row in ablation.rows:
        settings = override(read_yaml(ROOT / ablation.config), [f"{key}={json.dumps(value)}" for key, value in row.set.items()])
        training_config(ablation.stage, settings, f"{path}, row {row.name}")


@pytest.mark.parametrize("path", STATES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_state_backbones_are_known(path: Path) -> None:
    architecture = parse_config(PartStateArchitecture, read_yaml(path)["architecture"], str(path))
    with torch.device("meta"):
        levels = (architecture.part_level, architecture.person_level)
        backbone = Backbone(architecture.backbone, levels)
    assert len(backbone.channels) == 2


def test_the_benchmark_pipeline_is_whole() -> None:
    pipeline = read_pipeline(str(ROOT / "configs/kinetics_tps/pipeline.yaml"))
    assert pipeline.every == 5


@pytest.mark.parametrize("path", DETECTORS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_detector_configs_build_their_networks(path: Path) -> None:
    settings = read_yaml(path)
    architecture = parse_architecture(settings["name"], settings["architecture"], str(path))
    with torch.device("meta"):  # names and shapes alone: Swin-L would take gigabytes
        backbone = Backbone(architecture.backbone, architecture.levels)
    assert len(backbone.channels) == len(architecture.levels)
    if sum(p.numel() for p in backbone.parameters()) < 60e6:
        build_network(settings["name"], architecture)


def test_the_pseudo_label_config_fits() -> None:
    path = ROOT / "configs" / "pseudo_labels" / "gfl.yaml"
    settings = parse_config(PseudoLabelConfig, read_yaml(path), str(path))
    assert (settings.positive, settings.ignore) == (0.4, 0.1)  # the report's
    assert path.read_text().splitlines()[1].startswith("# python -m pipelines.pseudo_label --config configs/pseudo_labels/gfl.yaml")


def test_the_default_pipeline_is_whole() -> None:
    pipeline = read_pipeline("default")
    stages = (pipeline.person_detector, pipeline.tracker, pipeline.part_detector, pipeline.part_states)
    assert [config.name for config in (*stages, *(entry.recognizer for entry in pipeline.recognizers))] == [
        "cascade_rcnn",
        "bytetrack",
        "cascade_rcnn",
        "part_state_net",
        "tsm",
        "tsm",
    ]
    assert pipeline.low_res is not None

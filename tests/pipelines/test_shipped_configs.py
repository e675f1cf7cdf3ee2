from pathlib import Path

import pytest
import timm
import torch

from detectors.networks import build_network, parse_architecture
from detectors.pseudo_labels import PseudoLabelConfig
from parsing.configs import parse_config, read_yaml
from pipelines.settings import read_pipeline
from pipelines.trainings import STAGES, training_config

ROOT = Path(__file__).parents[2]
TRAININGS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name in STAGES)
DETECTORS = [path for path in TRAININGS if path.parent.name.endswith("_detector")]


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_training_configs_fit_and_open_with_their_command(path: Path) -> None:
    training_config(path.parent.name, read_yaml(path), str(path))
    head = path.read_text().splitlines()[1]
    assert head.startswith(f"# python -m pipelines.train {path.parent.name} --config {path.relative_to(ROOT)}")


@pytest.mark.parametrize("path", DETECTORS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_detector_configs_build_their_networks(path: Path) -> None:
    settings = read_yaml(path)
    architecture = parse_architecture(settings["name"], settings["architecture"], str(path))
    with torch.device("meta"):  # names and shapes alone: Swin-L would take gigabytes
        backbone = timm.create_model(architecture.backbone, features_only=True, out_indices=architecture.levels)
    assert len(backbone.feature_info.channels()) == len(architecture.levels)
    if sum(p.numel() for p in backbone.parameters()) < 60e6:
        build_network(settings["name"], architecture)


def test_the_pseudo_label_config_fits() -> None:
    path = ROOT / "configs" / "pseudo_labels" / "gfl.yaml"
    settings = parse_config(PseudoLabelConfig, read_yaml(path), str(path))
    assert (settings.positive, settings.ignore) == (0.4, 0.1)  # the report's
    assert path.read_text().splitlines()[1].startswith("# python -m pipelines.pseudo_label --config configs/pseudo_labels/gfl.yaml")


def test_the_default_pipeline_is_whole() -> None:
    pipeline = read_pipeline("default")
    assert [config.name for config in (*pipeline.stages.values(), *pipeline.recognizers)] == [
        "cascade_rcnn",
        "bytetrack",
        "cascade_rcnn",
        "part_state_net",
        "tsm",
    ]

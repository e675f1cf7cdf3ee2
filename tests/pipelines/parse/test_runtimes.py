"""Every stage gives on OpenVINO what it gives in PyTorch, and says which of them ran."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import write_video
from seeded import seeded_image

from detectors.networks import build_network
from detectors.networks.architectures import FasterRCNNArchitecture, GFLArchitecture, RetinaNetArchitecture
from parsing.networks.pieces import run_on
from pipelines import VideoParser
from pipelines.parse.flow import Lanes
from recognizers.superres.basicvsr import BasicVSRArchitecture
from recognizers.superres.realbasicvsr import RealBasicVSRArchitecture

pytest.importorskip("openvino")
COMMON: dict[str, Any] = {"backbone": "test_resnet", "levels": (1, 2), "fpn_channels": 16, "input_px": 96}
TWO_STAGE = {"anchor_sizes": ((16.0,), (32.0,), (64.0,)), "hidden": 16, "proposals": 20}
DETECTORS = {
    "faster_rcnn": FasterRCNNArchitecture(("a", "b"), **COMMON, **TWO_STAGE),
    "retinanet": RetinaNetArchitecture(("a", "b"), **COMMON, anchor_scale=2.0, convs=1),
    "gfl": GFLArchitecture(("a", "b"), **COMMON, anchor_scale=3.0, convs=1),
}


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTWISE_HOME", str(tmp_path_factory.getbasetemp() / "graphs_of_tests"))


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_find_the_same(name: str) -> None:
    torch.manual_seed(0)
    network: Any = build_network(name, DETECTORS[name]).eval()
    images = torch.randint(0, 256, (2, 3, 96, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.candidates(images, [(96, 64), (70, 60)])
        assert run_on(network, network.pieces(), "openvino", "cpu") == "openvino"
        found = network.candidates(images, [(96, 64), (70, 60)])
    for (boxes, scores), (other_boxes, other_scores) in zip(expected, found, strict=True):
        near = (boxes[:, None] - other_boxes).abs().amax(-1) < 0.5
        near &= (scores[:, None] - other_scores).abs().amax(-1) < 1e-3
        assert near.any(1).float().mean() > 0.97  # boxes of equal scores may take each other's place at the end of a list


def test_a_picture_without_any_proposal_has_no_candidate() -> None:
    torch.manual_seed(0)
    network: Any = build_network("faster_rcnn", FasterRCNNArchitecture(("a", "b"), **COMMON, **TWO_STAGE, least_objectness=1.0)).eval()
    assert run_on(network, network.pieces(), "openvino", "cpu") == "openvino"
    with torch.inference_mode():
        ((boxes, scores),) = network.candidates(torch.randint(0, 256, (1, 3, 96, 64), dtype=torch.uint8), [(96, 64)])
    assert (len(boxes), len(scores)) == (0, 0)


@pytest.mark.parametrize(
    "architecture",
    [
        BasicVSRArchitecture(scale=2, channels=8, blocks=1, hr_channels=8, flow="none"),
        RealBasicVSRArchitecture(scale=4, channels=8, blocks=1, hr_channels=8, flow_levels=2, flow_channels=(8,), cleaning_blocks=1),
    ],
)
def test_super_resolution_gives_the_same(architecture: BasicVSRArchitecture) -> None:
    torch.manual_seed(0)
    network: Any = architecture.build().eval()
    clip = torch.rand(1, 3, 3, 32, 40)
    with torch.inference_mode():
        expected = network(clip)
        assert run_on(network, network.pieces(), "openvino", "cpu") == "openvino"
        torch.testing.assert_close(network(clip), expected, atol=1e-4, rtol=1e-4)


def parsed(config: Path, video: Path, runtime: str) -> tuple[Any, list[str]]:
    stages = ("person_detector", "part_detector", "part_states", "recognizers.0")
    parse = VideoParser.from_config(str(config), [f"{stage}.runtime={runtime}" for stage in stages], "cpu")(video)
    return parse, [json.loads(model.config)["runtime"] for model in parse.models if model.stage != "tracker"]


def test_a_pipeline_parses_the_same(tiny_pipeline: Path, tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [np.roll(seeded_image(96, 128), 4 * i, 1) for i in range(5)])
    expected, in_torch = parsed(tiny_pipeline, video, "torch")
    found, in_openvino = parsed(tiny_pipeline, video, "openvino")
    assert (in_torch, in_openvino) == (["torch"] * 4, ["openvino"] * 4)
    np.testing.assert_allclose(found.action_windows[0].probabilities, expected.action_windows[0].probabilities, atol=1e-3)
    for one, other in zip(expected.frames, found.frames, strict=True):
        np.testing.assert_allclose(other.persons.xyxy, one.persons.xyxy, atol=0.5)
        np.testing.assert_allclose(other.persons.scores, one.persons.scores, atol=1e-3)
        np.testing.assert_allclose(other.parts.xyxy, one.parts.xyxy, atol=0.5)
        np.testing.assert_allclose(other.parts.scores, one.parts.scores, atol=1e-3)
        np.testing.assert_allclose(other.states.scores, one.states.scores, atol=1e-3)


def test_what_follows_the_networks_takes_no_more_threads_than_they_do() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        lanes = Lanes(2)
        items = lanes.beside(torch.get_num_threads() for _ in range(2))
        assert next(items) == 2
        assert torch.get_num_threads() == 4
        torch.set_num_threads(3)  # is the caller's to say
        assert list(items) == [2]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)

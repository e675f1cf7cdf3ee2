"""The low-resolution branch: when it speaks, what it says over time, what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from builders import write_video

from parsing.configs import parse_config, parse_yaml
from parsing.document import json_schema, read_parse
from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.types import ActionScore, Frame
from pipelines import VideoParser
from pipelines.parse.jobs import parse_to_files
from pipelines.parse.low_res import LowResBranch, LowResConfig
from pipelines.parse.sources import Job
from pipelines.parse.timeline import Timeline
from recognizers.labels import ActionLabels
from recognizers.multilabel.thresholds import fit_thresholds
from recognizers.networks.tsm import TSM, TSMArchitecture

NAMES = ("carry", "ride", "talk")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny network of many labels that says nothing of what it sees, and others that do not fit."""
    folder = tmp_path_factory.mktemp("low_res")
    architecture = {"backbone": "test_resnet", "level": 2, "num_segments": 2, "input_px": 32}
    files = {}
    for name, labels in (
        ("many", ActionLabels(NAMES, multi_label=True)),
        ("one", ActionLabels(NAMES)),
        ("other", ActionLabels(("carry", "ride", "walk"), multi_label=True)),
    ):
        torch.manual_seed(0)
        network = TSM(TSMArchitecture(**architecture), 3)  # type: ignore[arg-type]
        with torch.no_grad():
            network.classifier.weight.zero_()
            network.classifier.bias.copy_(torch.tensor([2.0, -2.0, 1.0]))
        files[name] = folder / f"{name}.safetensors"
        save_weights(network, files[name], WeightsHeader("tsm", architecture, labels.to_header()))
    return files


def options(file: Path, **changed: Any) -> LowResConfig:
    return LowResConfig(**{"recognizers": ({"name": "tsm", "weights": str(file)},)} | changed)


def branch(file: Path, **changed: Any) -> LowResBranch:
    built = options(file, **changed).build("cpu")
    assert built is not None
    return built


def video(seconds: float, fps: int = 10, hw: tuple[int, int] = (20, 24)) -> list[Frame]:
    return [Frame("v", i, i / fps, np.full((*hw, 3), 90, np.uint8)) for i in range(round(seconds * fps))]


def spans(found: Sequence[ActionScore]) -> list[tuple[str, float, float]]:
    return [(a.label, round(a.start_s, 3), round(a.end_s, 3)) for a in found]


def test_windows_that_touch_and_agree_become_one() -> None:
    timeline = Timeline()
    timeline.add([("a", 0.4), ("b", 0.9)], 0, 2, "low_res")
    timeline.add([("a", 0.8)], 1, 3, "low_res")
    timeline.add([("a", 0.6), ("b", 0.7)], 2, 4, "low_res")
    timeline.add([("b", 0.7)], 5, 6, "low_res")
    timeline.add([("b", 0.7)], 5.5, 6.5, "recognizers")
    assert spans(timeline.actions) == [("a", 0, 4), ("b", 0, 2), ("b", 2, 4), ("b", 5, 6), ("b", 5.5, 6.5)]
    assert timeline.actions[0].score == pytest.approx(0.6)


def test_short_videos_are_one_window_and_long_ones_slide(weights: dict[str, Path]) -> None:
    small = branch(weights["many"], window_s=2.0, every_s=1.0)
    assert small.actions([]) == ()
    assert spans(small.actions(video(0.1))) == [("carry", 0, 0), ("talk", 0, 0)]
    asked: list[int] = []
    labels = small.labels
    small.labels = lambda frames: asked.append(len(frames)) or labels(frames)  # type: ignore[method-assign,func-returns-value]
    assert spans(small.actions(video(5.0))) == [("carry", 0, 4.9), ("talk", 0, 4.9)]
    assert asked == [20, 20, 20, 20]
    found = small.actions(video(5.0))
    assert found[0].score == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)
    assert found[0].branch == "low_res"


def test_a_video_ends_with_its_last_window(weights: dict[str, Path]) -> None:
    """No window shows only what the one before has shown."""
    asked: list[int] = []
    small = branch(weights["many"], window_s=2.0, every_s=1.0)
    small.labels = lambda frames: asked.append(len(frames)) or []  # type: ignore[method-assign,func-returns-value]
    small.actions(video(2.0))
    assert asked == [20]


def test_windows_over_gaps_show_what_lies_in_them(weights: dict[str, Path]) -> None:
    """A slide show of a picture every ten seconds, a burst, and times that leap."""
    small = branch(weights["many"], window_s=4.0, every_s=2.0)
    shown: list[list[float]] = []
    small.labels = lambda frames: shown.append([f.time_s for f in frames]) or [("carry", 0.9)]  # type: ignore[method-assign,func-returns-value]
    times_s = [0.0, 10.0, 20.5, 20.6, 23.0, 1e9]
    found = small.actions(Frame("v", i, t, np.zeros((20, 24, 3), np.uint8)) for i, t in enumerate(times_s))
    assert shown == [[0.0], [10.0], [20.5, 20.6, 23.0], [1e9]]
    assert [(a.start_s, a.end_s) for a in found] == [(0, 4), (10, 14), (20, 24), (1e9, 1e9)]


def test_windows_without_overlap_touch(weights: dict[str, Path]) -> None:
    small = branch(weights["many"], window_s=2.0, every_s=2.0)
    frames = [Frame("v", i, 0.15 * i, np.zeros((20, 24, 3), np.uint8)) for i in range(40)]
    assert spans(small.actions(frames)) == [("carry", 0, 5.85), ("talk", 0, 5.85)]


def test_frames_that_come_too_fast_do_not_fill_the_memory(weights: dict[str, Path]) -> None:
    small = branch(weights["many"], window_s=2.0, every_s=1.0, most_frames=8)
    asked: list[int] = []
    small.labels = lambda frames: asked.append(len(frames)) or []  # type: ignore[method-assign,func-returns-value]
    for fps in (4, 10, 1000):
        small.actions(video(4.0, fps))
    assert max(asked) == 8
    assert min(asked) >= 6


def test_something_stands_where_nothing_passes(weights: dict[str, Path], tmp_path: Path) -> None:
    scores = np.tile([[0.99, 0.995, 0.99]], (4, 1))
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    fitted = fit_thresholds(scores, truth)
    fitted.values[:] = 0.97
    fitted.save(tmp_path / "t.yaml", NAMES, ["00000"], {"m": 1.0}, "logits")
    for at_least_one, expected in ((True, [("carry", 0, 0.9)]), (False, [])):
        small = branch(weights["many"], thresholds=str(tmp_path / "t.yaml"), at_least_one=at_least_one)
        assert spans(small.actions(video(1.0))) == expected


def test_what_does_not_fit_is_named(weights: dict[str, Path], tmp_path: Path) -> None:
    both = ({"name": "tsm", "weights": str(weights["many"])}, {"name": "tsm", "weights": str(weights["other"])})
    cases: list[tuple[LowResConfig, str]] = [
        (LowResConfig(), "recognizers: none given"),
        (options(weights["one"]), "one.safetensors: is single-label; expected a multi-label network"),
        (LowResConfig(recognizers=both), "other.safetensors: other actions than the first recognizer's: 'talk'"),
        (options(weights["many"], weights=(0.0,)), r"weights: \[0.0\] for 1 recognizers"),
        (LowResConfig(recognizers=both[:1] * 2, thresholds=str(tmp_path / "p.yaml")), r"p\.yaml: fitted on averages of probabilities"),
    ]
    fit_thresholds(np.full((3, 3), 0.5), np.eye(3)).save(tmp_path / "p.yaml", NAMES, ["00000"], {"m": 1.0}, "probabilities")
    for config, message in cases:
        with pytest.raises(InputError, match=message):
            config.build("cpu")
    fit_thresholds(np.full((2, 2), 0.5), np.eye(2)).save(tmp_path / "t.yaml", ("carry", "swim"), ["00000"], {"m": 1.0}, "logits")
    with pytest.raises(InputError, match=r"t\.yaml: thresholds of other classes than the recognizer's: 'ride'"):
        branch(weights["many"], thresholds=str(tmp_path / "t.yaml"))
    assert LowResConfig(when="never").build("cpu") is None
    for text, message in (("every_s: 5", "every_s 5.0 leaves gaps between windows of 4.0 s"), ("weights: [.inf]", "weights.0: .*finite")):
        with pytest.raises(InputError, match=message):
            parse_config(LowResConfig, parse_yaml(f"{{{text}}}", "t"), "low_res")


@pytest.mark.parametrize(
    ("when", "hw", "name"), [("auto", (32, 40), "low_res"), ("auto", (96, 160), "recognizers"), ("always", (96, 160), "low_res")]
)
def test_the_pipeline_says_who_spoke_and_why(
    when: str, hw: tuple[int, int], name: str, weights: dict[str, Path], tiny_pipeline: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "v.mp4", [np.full((*hw, 3), 50 + 9 * i, np.uint8) for i in range(6)])
    low_res = f"low_res={{when: {when}, recognizers: [{{name: tsm, weights: {weights['many']}}}]}}"
    parser = VideoParser.from_config(str(tiny_pipeline), [low_res], "cpu")
    parse = parser(tmp_path / "v.mp4")
    assert parse.branch is not None
    assert parse.branch.name == name
    assert f"{hw[1]} x {hw[0]} px" in parse.branch.reason
    assert {action.branch for action in parse.actions} == {name}
    assert {model.used for model in parse.models if model.stage == "low_res"} == {name == "low_res"}
    assert {model.used for model in parse.models if model.stage == "recognizer"} == {name != "low_res"}
    parse_to_files(parser, Job(tmp_path / "v.mp4", tmp_path / "p.json", None), quiet=True)
    document = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(document, json_schema())
    assert document["vocabulary"]["low_res_actions"] == list(NAMES)
    read = read_parse(tmp_path / "p.json")
    assert (read.branch, [a.label for a in read.actions]) == (parse.branch, [a.label for a in parse.actions])


def test_nobody_is_said_to_have_spoken_where_no_branch_did(weights: dict[str, Path], tiny_pipeline: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [np.full((96, 160, 3), 50, np.uint8)] * 3)
    low_res = f"low_res={{recognizers: [{{name: tsm, weights: {weights['many']}}}]}}"
    parse = VideoParser.from_config(str(tiny_pipeline), [low_res, "recognizers=[]"], "cpu")(tmp_path / "v.mp4")
    assert parse.actions == ()
    assert {model.used for model in parse.models if model.stage == "low_res"} == {False}


def test_small_persons_are_the_branchs_and_others_are_not(weights: dict[str, Path], tiny_pipeline: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [np.full((160, 200, 3), 50 + 9 * i, np.uint8) for i in range(6)])
    member = f"recognizers: [{{name: tsm, weights: {weights['many']}}}]"
    for most_px, branch_name, labels in ((150, "low_res", {"carry", "talk"}), (1, "recognizers", {"run", "walk"})):
        parser = VideoParser.from_config(str(tiny_pipeline), [f"low_res={{max_side_px: {most_px}, {member}}}"], "cpu")
        found, by = parser.judge(video(0.5), 100.0)
        assert by == branch_name
        assert {label for label, _ in found} <= labels

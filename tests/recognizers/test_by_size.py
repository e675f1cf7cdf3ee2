"""Routing by size, and the recognizer of small pictures: its members, thresholds and refusals."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import write_bias_network

from parsing.configs import parse_config, parse_yaml
from parsing.errors import InputError
from parsing.types import ActionScores, Array, BranchFacts, Frame, ModelFacts
from recognizers.by_size import BySize, LowResConfig, Route
from recognizers.labels import ActionLabels
from recognizers.superres.scaling import ScaledRecognizer, ScalingConfig
from recognizers.thresholds import fit_thresholds
from recognizers.video import VideoRecognizerConfig
from recognizers.windows import WindowConfig, recognize

NAMES = ("carry", "ride", "talk")
BIASES = (2.0, -2.0, 1.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny multi-label network that gives the same scores for whatever it sees, and others that do not fit."""
    folder = tmp_path_factory.mktemp("low_res")
    labels = {
        "multi": ActionLabels(NAMES, multi_label=True),
        "single": ActionLabels(NAMES),
        "other": ActionLabels(("carry", "ride", "walk"), multi_label=True),
    }
    return {name: write_bias_network(folder / f"{name}.safetensors", of, BIASES) for name, of in labels.items()}


def options(file: Path, **changed: Any) -> LowResConfig:
    return LowResConfig(**{"recognizers": (VideoRecognizerConfig("tsm", str(file)),)} | changed)


def route(file: Path, **changed: Any) -> Route:
    built = options(file, **changed).build("cpu")
    assert built is not None
    return built


def video(num_frames: int = 10, hw: tuple[int, int] = (20, 24)) -> list[Frame]:
    return [Frame("v", i, i / 10, np.full((*hw, 3), 90, np.uint8)) for i in range(num_frames)]


def held(scores: ActionScores) -> list[str]:
    return [name for name, holds in zip(NAMES, scores.holds, strict=True) if holds]


def test_actions_hold_above_one_half_and_together(weights: dict[str, Path]) -> None:
    small = route(weights["multi"])
    found = recognize(small.recognizer, video())
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-np.array(BIASES))), abs=1e-3)
    assert held(found) == ["carry", "talk"]
    assert (small.branch, small.windows.window_s, small.windows.every_s) == ("low_res", 4.0, 2.0)


def test_the_best_holds_where_nothing_passes(weights: dict[str, Path], tmp_path: Path) -> None:
    scores = np.tile([[0.99, 0.995, 0.99]], (4, 1))
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    fitted = fit_thresholds(scores, truth)
    fitted.values[:] = 0.97
    fitted.save(tmp_path / "t.yaml", NAMES, ["00000"], {"m": 1.0}, "logits")
    for at_least_one, expected in ((True, ["carry"]), (False, [])):
        small = route(weights["multi"], thresholds=str(tmp_path / "t.yaml"), at_least_one=at_least_one)
        assert held(recognize(small.recognizer, video())) == expected


def test_of_an_exclusive_group_only_the_best_holds(weights: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("groups: {one: [carry, talk]}")
    assert held(recognize(route(weights["multi"], groups=str(tmp_path / "g.yaml")).recognizer, video())) == ["carry"]


def test_what_does_not_fit_is_named(weights: dict[str, Path], tmp_path: Path) -> None:
    both = tuple(VideoRecognizerConfig("tsm", str(weights[name])) for name in ("multi", "other"))
    cases: list[tuple[LowResConfig, str]] = [
        (LowResConfig(), "recognizers: none given"),
        (options(weights["single"]), r"single\.safetensors: is single-label; expected a multi-label network"),
        (LowResConfig(recognizers=both), r"other\.safetensors: other actions than the first recognizer's: 'talk'"),
        (options(weights["multi"], weights=(0.0,)), r"weights: \[0.0\] for 1 recognizers"),
        (LowResConfig(recognizers=both[:1] * 2, thresholds=str(tmp_path / "p.yaml")), r"p\.yaml: fitted on averages of probabilities"),
    ]
    fit_thresholds(np.full((3, 3), 0.5), np.eye(3)).save(tmp_path / "p.yaml", NAMES, ["00000"], {"m": 1.0}, "probabilities")
    for config, message in cases:
        with pytest.raises(InputError, match=message):
            config.build("cpu")
    fit_thresholds(np.full((2, 2), 0.5), np.eye(2)).save(tmp_path / "t.yaml", ("carry", "swim"), ["00000"], {"m": 1.0}, "logits")
    with pytest.raises(InputError, match=r"t\.yaml: thresholds of other classes than the recognizer's: 'ride'"):
        route(weights["multi"], thresholds=str(tmp_path / "t.yaml"))
    assert LowResConfig(when="never").build("cpu") is None
    with pytest.raises(InputError, match=r"low_res: recognizers\.0: unknown name 'tsn'; did you mean 'tsm'"):
        parse_config(LowResConfig, {"recognizers": [{"name": "tsn"}]}, "low_res")
    for text, message in (("every_s: 5", "every_s 5.0 leaves gaps between windows of 4.0 s"), ("weights: [.inf]", "weights.0: .*finite")):
        with pytest.raises(InputError, match=message):
            parse_config(LowResConfig, parse_yaml(f"{{{text}}}", "t"), "low_res")


class Looker:
    """A recognizer that remembers the sizes of what it saw."""

    action_names, multi_label, background, least_frames = NAMES, True, (), 1
    models = (ModelFacts("recognizer", "looker", None, "{}"),)

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, int]] = {}

    def indices(self, num_frames: int) -> Array:
        return np.array([2, num_frames - 1])

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:  # noqa: ARG002
        self.seen = {place: frame.image_hw for place, frame in frames.items()}
        return ActionScores.of(np.array([0.9, 0.1, 0.6]), self.multi_label, self.models)


def test_small_frames_are_scaled_before_they_are_recognized() -> None:
    scaling = ScalingConfig(below_px=64, resolver={"name": "bicubic", "scale": 2}).build("cpu")
    assert scaling.resolver is not None
    scaling.resolver.reach = 1
    looker = Looker()
    scaled = ScaledRecognizer(looker, scaling)
    assert scaled.indices(10).tolist() == [1, 2, 3, 8, 9]  # with the neighbours that propagation sees
    found = recognize(scaled, video(10, (20, 24)))
    assert looker.seen == {2: (40, 48), 9: (40, 48)}
    assert [model.name for model in found.models] == [model.name for model in scaled.models] == ["bicubic", "looker"]
    recognize(scaled, video(10, (64, 80)))
    assert looker.seen == {2: (64, 80), 9: (64, 80)}


def test_size_chooses_the_route() -> None:
    large, small = (Route(branch, Looker(), WindowConfig()) for branch in ("recognizers", "low_res"))  # type: ignore[arg-type]
    by_size = BySize(large, small, 128)
    assert (by_size(128), by_size(128.5)) == (small, large)
    assert by_size.explain(128, 90) == BranchFacts("low_res", "128 x 90 px, at most 128")
    assert by_size.explain(90, 129) == BranchFacts("recognizers", "90 x 129 px, above 128")
    everything = BySize(large, small, math.inf)
    assert everything(1e6) == small
    assert everything.explain(640, 480) == BranchFacts("low_res", "640 x 480 px, as all sizes are (when: always)")
    assert (BySize(large)(1), BySize(large).explain(1, 1)) == (large, None)
    assert BySize(None)(1) is None


def test_models_are_told_with_their_use() -> None:
    large, small = (Route(branch, Looker(), WindowConfig()) for branch in ("recognizers", "low_res"))  # type: ignore[arg-type]
    found = BySize(large, small, 128).models({("low_res", Looker.models[0])})
    assert [(model.stage, model.name, model.used) for model in found] == [
        ("recognizer", "looker", False), ("low_res", "by_size", True), ("low_res", "looker", True),
    ]  # fmt: skip
    assert not any(model.used for model in BySize(large, small, 128).models(set()))

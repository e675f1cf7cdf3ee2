"""Actions from parts in a pipeline: alone, beside recognizers, of videos and of tracks."""

from dataclasses import asdict
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
import yaml
from builders import VOCABULARY, frame, frame_parse, write_video

from parsing.errors import InputError
from parsing.networks.weights import WeightsHeader, save_weights
from parsing.stages import ActionRecognizer
from parsing.tracks import Tracklet, tracklets
from parsing.types import ActionScores, ModelFacts
from parsing.vocabulary import Vocabulary
from pipelines import VideoParser
from pipelines.parse.actions import VideoActions
from pipelines.parse.part_actions import PartActions, PartMixer, VideoPartActions
from recognizers.by_size import Route
from recognizers.floor import ActionFloor
from recognizers.labels import ActionLabels
from recognizers.parts.network import PartTracksArchitecture, PartTracksNet
from recognizers.parts.stage import header_labels
from recognizers.windows import WindowConfig

FACTS = ModelFacts("part_actions", "moving", None, "{}")
BOX, ARCHITECTURE = [10, 10, 40, 90], PartTracksArchitecture(part_dim=4, dim=6, depth=1, kernels=(3,))


class Moving:
    """`run` where a person moves to the right, `walk` elsewhere."""

    facts, action_names, background = FACTS, ("run", "walk"), ()

    def check(self, vocabulary: Vocabulary) -> None:
        """Any will do."""

    def __call__(self, windows: list[list[Tracklet]]) -> list[ActionScores]:
        moved = [max(float(np.ptp(track.persons.xyxy[:, 0])) for track in window) > 1 for window in windows]
        return [ActionScores.of(np.array([0.9, 0.1] if moves else [0.1, 0.9]), False, (FACTS,)) for moves in moved]


def persons(moves: bool = True) -> list[Tracklet]:
    return tracklets([frame_parse(i, [[10 + 5 * i * moves, 10, 40 + 5 * i * moves, 90]]) for i in range(3)], (240, 320))


def test_log_probabilities_are_mixed_by_their_share() -> None:
    frames = ActionScores.of(np.array([0.2, 0.8]), False, ())
    for share, expected in ((0.0, [0.2, 0.8]), (1.0, [0.9, 0.1]), (0.5, [0.6, 0.4])):
        found = PartMixer(Moving(), share)(persons(), frames)
        assert found.probabilities == pytest.approx(expected, abs=1e-6)
        assert found.models == (FACTS,)
    assert PartMixer(Moving(), 0.0)(persons(), None).probabilities == pytest.approx([0.9, 0.1])  # alone, parts have it all


def test_the_floor_of_the_pipeline_holds_for_mixtures() -> None:
    floor = ActionFloor(temperature=2.0, least=0.7)
    calm = PartMixer(Moving(), 0.5, floor)(persons(), ActionScores.of(np.array([0.25, 0.75]), False))
    # Of parts 0.9 : 0.1 at temperature 2 is 3 : 1, and of the recognizers, which have their temperature, 1 : 3.
    assert calm.probabilities == pytest.approx([0.5, 0.5])
    assert not calm.holds.any()
    assert PartMixer(Moving(), 0.5, floor)(persons(), None).holds.tolist() == [True, False]


def streamed(actions: VideoActions, moves: list[bool], options: WindowConfig) -> VideoActions:
    """Ten key frames a second of a person who moves or stands."""
    parts = PartActions(PartMixer(Moving(), 0.5), PartMixer(Moving(), 0.5), 3, FACTS)
    items = [(frame(i), frame_parse(i, [[10 + 5 * i * m, 10, 40 + 5 * i * m, 90]])) for i, m in enumerate(moves)]
    assert list(VideoPartActions(parts, actions, options, (240, 320))(items)) == items
    return actions


def spans(actions: VideoActions) -> list[tuple[str, float, float]]:
    return [(action.label, action.start_s, action.end_s) for action in actions.timeline.actions]


def test_windows_of_parts_alone() -> None:
    options = WindowConfig(window_s=1.0, every_s=1.0)
    actions = streamed(VideoActions(None), [True] * 20 + [False] * 15, options)
    assert spans(actions) == [("run", 0.0, 2.0), ("walk", 2.0, 3.4)]
    assert [round(float(w.probabilities[0]), 2) for w in actions.windows] == [0.9, 0.9, 0.1, 0.1]
    assert actions.at(0.0) is None  # part states are conditioned on recognizers alone
    assert spans(streamed(VideoActions(None), [True, True], options)) == []  # too few frames


def test_a_window_that_no_recognizer_saw_has_no_action() -> None:
    route = Route("recognizers", cast(ActionRecognizer, None), WindowConfig())
    actions = streamed(VideoActions(route), [True] * 10, WindowConfig())
    assert (actions.windows, spans(actions)) == ([], [])


def test_a_video_without_persons_is_left_as_it_is() -> None:
    parts = PartActions(PartMixer(Moving(), 0.5), PartMixer(Moving(), 0.5), 1, FACTS)
    actions = VideoActions(None)
    items = [(frame(i), None if i % 2 else frame_parse(i, [])) for i in range(8)]
    assert list(VideoPartActions(parts, actions, WindowConfig(), (240, 320))(items)) == items
    assert (actions.windows, actions.timeline.actions) == ([], [])


def write_part_actions(path: Path, actions: tuple[str, ...] = VOCABULARY.actions, vocabulary: Vocabulary = VOCABULARY) -> str:
    torch.manual_seed(0)
    network = PartTracksNet(ARCHITECTURE, len(vocabulary.parts), len(vocabulary.states), len(actions))
    save_weights(network, path, WeightsHeader("part_tracks", asdict(ARCHITECTURE), header_labels(vocabulary, ActionLabels(actions))))
    return str(path)


def option(weights: str, **more: object) -> str:
    return "part_actions=" + yaml.safe_dump({"source": {"name": "part_tracks", "weights": weights}} | more, default_flow_style=True).strip()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return write_video(tmp_path_factory.mktemp("clip") / "c.mp4", [np.roll(picture, i // 4, 1) for i in range(17)])


TUBES = "track_actions={window_s: 0.8, every_s: 0.4, min_frames: 2}"


def test_a_pipeline_with_real_networks(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    weights = write_part_actions(tmp_path / "parts.safetensors")
    plain = VideoParser.from_config(str(tiny_pipeline), [TUBES], "cpu")(clip)
    parser = VideoParser.from_config(str(tiny_pipeline), [TUBES, option(weights)], "cpu")
    mixed = parser(clip)
    alone = VideoParser.from_config(str(tiny_pipeline), [TUBES, option(weights), "recognizers=[]"], "cpu")(clip)
    shares = [parse.action_windows[0].probabilities.astype(float) for parse in (plain, mixed)]
    assert shares[0] != pytest.approx(shares[1])
    assert shares[1].sum() == pytest.approx(1)
    assert plain.frames[0].states.scores == pytest.approx(mixed.frames[0].states.scores)  # conditioned on the recognizers alone
    assert alone.vocabulary.actions == VOCABULARY.actions
    assert alone.actions
    assert alone.track_actions
    assert mixed.track_actions.keys() == plain.track_actions.keys()
    facts = next(model for model in mixed.models if model.stage == "part_actions")
    assert facts.note == "share of parts: 0.4 in videos, 0.6 in tracks"
    assert facts.weights_sha256
    for batch in (1, 8):
        other = VideoParser.from_config(str(tiny_pipeline), [TUBES, option(weights), f"batch={batch}"], "cpu")(clip)
        assert other.action_windows[0].probabilities == pytest.approx(mixed.action_windows[0].probabilities, abs=1e-4)


def test_what_does_not_fit_is_refused(tiny_pipeline: Path, tmp_path: Path) -> None:
    others = Vocabulary("players", ("racket",), ("up",), (("up",),), ())
    parts = write_part_actions(tmp_path / "parts.safetensors", vocabulary=others)
    actions = write_part_actions(tmp_path / "actions.safetensors", ("jump", "run"))
    for weights, message in (
        (parts, "part_actions: its weights and the pipeline differ in their parts: 'racket'"),
        (actions, "part_actions and recognizers differ in their actions: jump, walk"),
        (str(tmp_path / "lost.safetensors"), r"lost\.safetensors"),
    ):
        with pytest.raises(InputError, match=message):
            VideoParser.from_config(str(tiny_pipeline), [option(weights)], "cpu")
    with pytest.raises(InputError, match=r"part_actions\.share"):
        VideoParser.from_config(str(tiny_pipeline), [option(actions, share=2)], "cpu")

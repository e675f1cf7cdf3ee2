"""Actions of whole videos: short ones are one window, long ones a timeline, and part states are conditioned on them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import jsonschema
import numpy as np
import pytest
from builders import write_bias_network, write_video

from parsing.document import json_schema, read_parse
from parsing.errors import InputError
from parsing.media.video import Video
from parsing.stages import ActionRecognizer
from parsing.types import ActionScores, Array, Frame, ModelFacts
from pipelines import VideoParser
from pipelines.parse.actions import VideoActions
from pipelines.parse.jobs import parse_to_files
from pipelines.parse.sources import Job
from recognizers.by_size import Route
from recognizers.labels import ActionLabels
from recognizers.windows import Timeline, WindowConfig

NAMES = ("dark", "bright")
SMALL = ("carry", "ride", "talk")


class Brightness:
    """A recognizer of brightness that looks at every third frame and remembers which it saw."""

    action_names, multi_label, background, least_frames = NAMES, False, (), 1
    models = (ModelFacts("recognizer", "brightness", None, "{}"),)

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.sizes: set[tuple[int, int]] = set()

    def indices(self, num_frames: int) -> Array:
        return np.arange(0, num_frames, 3)

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        looked_at = [frames[int(i)] for i in self.indices(num_frames)]
        self.seen.append([frame.index for frame in looked_at])
        self.sizes |= {frame.image_hw for frame in looked_at}
        bright = float(np.mean([frame.image.mean() for frame in looked_at])) / 255
        return ActionScores.of(np.array([1 - bright, bright]), self.multi_label, self.models)


def day_and_night(path: Path, num_frames: int, hw: tuple[int, int] = (48, 64)) -> Path:
    """Dark in its first half and bright in its second, ten frames a second."""
    return write_video(path, [np.full((*hw, 3), 30 if i < num_frames / 2 else 220, np.uint8) for i in range(num_frames)])


def read(path: Path, recognizer: Brightness, **options: float) -> VideoActions:
    actions = VideoActions(Route("recognizers", recognizer, WindowConfig(**{"window_s": 2.0, "every_s": 1.0} | options)))  # type: ignore[arg-type]
    actions.read(Video(path))
    return actions


def spans(actions: VideoActions) -> list[tuple[str, float, float]]:
    return [(a.label, round(a.start_s, 3), round(a.end_s, 3)) for a in actions.timeline.actions]


def test_a_short_video_is_one_window(tmp_path: Path) -> None:
    recognizer = Brightness()
    actions = read(day_and_night(tmp_path / "v.mp4", 20), recognizer)
    assert recognizer.seen == [[0, 3, 6, 9, 12, 15, 18]]
    assert [(w.start_s, w.end_s) for w in actions.windows] == [(0.0, 2.0)]
    assert [(label, start, end) for label, start, end in spans(actions)] == [("dark", 0.0, 2.0)]  # four of seven are dark
    assert actions.used == {("recognizers", Brightness.models[0])}
    assert actions.at(-1.0) is actions.at(1.0) is actions.windows[0].probabilities


def test_a_long_video_has_a_timeline(tmp_path: Path) -> None:
    recognizer = Brightness()
    actions = read(day_and_night(tmp_path / "v.mp4", 80), recognizer)
    assert [(w.start_s, w.end_s) for w in actions.windows] == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7), (6, 7.9)]
    assert recognizer.seen[1] == [10, 13, 16, 19, 22, 25, 28]
    # Of the window from 3 to 5 s, frames 30, 33, 36 and 39 are dark and 42, 45 and 48 bright.
    assert spans(actions) == [("dark", 0, 5), ("bright", 4, 7.9)]


def test_states_are_conditioned_on_the_window_around_their_frame(tmp_path: Path) -> None:
    actions = read(day_and_night(tmp_path / "v.mp4", 80), Brightness())
    windows = actions.windows
    assert actions.at(0.0) is windows[0].probabilities
    assert actions.at(2.1) is windows[1].probabilities  # nearest to the middle of 1 to 3 s
    assert actions.at(7.9) is windows[6].probabilities


def test_a_source_that_is_read_once_knows_what_is_complete(tmp_path: Path) -> None:
    path = day_and_night(tmp_path / "v.mp4", 80)
    actions = VideoActions(Route("recognizers", Brightness(), WindowConfig(window_s=2.0, every_s=1.0)))
    known, indices = {}, []
    for frame in actions.watch(Video(path).frames()):
        indices.append(frame.index)
        known[frame.index] = actions.at(frame.time_s)
    assert indices == list(range(80))
    assert (known[0], known[19]) == (None, None)
    assert known[20] is known[29] is actions.windows[0].probabilities
    assert known[79] is actions.windows[5].probabilities
    assert [w.probabilities.tolist() for w in actions.windows] == [w.probabilities.tolist() for w in read(path, Brightness()).windows]


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_mixtures_are_as_when_all_is_built_anew(is_file: bool, seed: int) -> None:
    """Of a file all windows are recognized before the first one is mixed; of a source that is read once some are ahead of it."""
    rng, names = np.random.default_rng(seed), ("run", "stand", "walk")
    windows = [(float(6 * i), float(6 * i + (6 if rng.random() < 0.2 else 12))) for i in range(40)]
    actions = VideoActions(
        Route("recognizers", cast(ActionRecognizer, SimpleNamespace(action_names=names, multi_label=False)), WindowConfig())
    )
    known: dict[float, tuple[float, ActionScores]] = {}

    def random_scores() -> ActionScores:
        likely = rng.dirichlet([0.3] * 3) if rng.random() < 0.4 else np.array([0.1, 0.8, 0.1])
        return replace(ActionScores.of(likely, False), holds=np.arange(3) == rng.choice([likely.argmax(), 3], p=[0.9, 0.1]))

    def note(i: int) -> None:
        start_s, end_s = windows[i]
        scores = random_scores()
        actions._note(cast(Route, actions.route), scores, start_s, end_s)
        known[start_s] = end_s, scores

    for i in range(40 if is_file else 0):
        note(i)
    for i, (start_s, _) in enumerate(windows):
        for ahead in range(len(known), min(i + 4, 40)):
            note(ahead)
        if rng.random() < 0.8:  # else there is nobody in it
            mixed = random_scores()
            actions.mix([], lambda _, __, mixed=mixed: mixed, names, start_s, 0.0)  # type: ignore[misc]
            known[start_s] = known[start_s][0], mixed
        if rng.random() < 0.7:
            plain = Timeline()
            for begin_s, (end_s, scores) in sorted(known.items()):
                plain.add(scores, names, begin_s, end_s, "recognizers")
            assert actions.timeline.actions == plain.actions
        time_s = rng.uniform(-10, 260)
        nearest = min(reversed(actions.recognized), key=lambda w: abs(w.start_s + w.end_s - 2 * time_s))
        assert actions.at(time_s) is nearest.probabilities
    assert [(w.start_s, w.probabilities.tolist()) for w in actions.windows] == [(s, k[1].probabilities.tolist()) for s, k in known.items()]


def test_a_mixed_window_notes_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are known already: the timeline is built to its end where it is asked for."""
    route = Route("recognizers", cast(ActionRecognizer, SimpleNamespace(action_names=NAMES, multi_label=False)), WindowConfig())
    actions, scores, noted = VideoActions(route), ActionScores.of(np.array([0.2, 0.8]), False), []
    whole = Timeline.add
    monkeypatch.setattr(Timeline, "add", lambda *arguments: (noted.append(1), whole(*arguments)))
    for i in range(100):
        actions._note(route, scores, 6.0 * i, 6.0 * i + 12)
    for i in range(100):
        actions.mix([], lambda *_: scores, NAMES, 6.0 * i, 0.0)
    assert [action.end_s for action in actions.timeline.actions] == [606.0]
    assert len(noted) == 100


def test_what_waits_in_a_window_is_small(tmp_path: Path) -> None:
    recognizer = Brightness()
    read(day_and_night(tmp_path / "v.mp4", 40, (96, 160)), recognizer, most_px=48)
    assert recognizer.sizes == {(48, 80)}


def test_nothing_to_recognize(tmp_path: Path) -> None:
    path = day_and_night(tmp_path / "v.mp4", 4)
    actions = VideoActions(None)
    actions.read(Video(path))
    assert len(list(actions.watch(Video(path).frames()))) == 4
    assert (actions.windows, actions.timeline.actions, actions.at(0.0)) == ([], [], None)


def test_windows_condition_the_parse_of_long_videos(tiny_pipeline: Path, tmp_path: Path) -> None:
    """Frames of equal pixels and other windows have other states; how frames are batched decides nothing."""
    path = write_video(tmp_path / "v.mp4", [np.full((48, 64, 3), 30 if i < 20 else 220, np.uint8) for i in range(40)])
    seen: dict[int, list[tuple[list[int], Array | None]]] = {}
    for batch in (1, 3):
        settings = ["windows={window_s: 1.0, every_s: 0.5}", f"batch={batch}", "every=4"]
        parser = VideoParser.from_config(str(tiny_pipeline), settings, "cpu")
        states, seen[batch] = parser.part_states, []

        def noting(frames, persons, parts, actions, to=seen[batch], states=states):  # type: ignore[no-untyped-def]
            to.append(([frame.index for frame in frames], actions))
            return states(frames, persons, parts, actions)

        noting.vocabulary = states.vocabulary  # type: ignore[attr-defined]
        parser.part_states = noting  # type: ignore[assignment]
        parse = parser(path)
        assert len(parse.action_windows) == 7
        for indices, given in seen[batch]:
            for index in indices:
                nearest = min(reversed(parse.action_windows), key=lambda w: abs(w.start_s + w.end_s - index / 5))
                assert given is not None
                assert np.array_equal(given, nearest.probabilities)
    for parsed in seen.values():
        assert sorted(i for indices, _ in parsed for i in indices) == list(range(0, 40, 4))


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    return write_bias_network(path, ActionLabels(SMALL, multi_label=True), (2.0, -2.0, 1.0))


@pytest.mark.parametrize(
    ("when", "hw", "name"), [("auto", (32, 40), "low_res"), ("auto", (96, 160), "recognizers"), ("always", (96, 160), "low_res")]
)
def test_the_parse_says_which_branch_scored_it_and_why(
    when: str, hw: tuple[int, int], name: str, small_weights: Path, tiny_pipeline: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "v.mp4", [np.full((*hw, 3), 50 + 9 * i, np.uint8) for i in range(6)])
    low_res = f"low_res={{when: {when}, recognizers: [{{name: tsm, weights: {small_weights}}}]}}"
    parser = VideoParser.from_config(str(tiny_pipeline), [low_res], "cpu")
    parse = parser(tmp_path / "v.mp4")
    assert parse.branch is not None
    assert parse.branch.name == name
    assert f"{hw[1]} x {hw[0]} px" in parse.branch.reason
    assert {action.branch for action in parse.actions} == {window.branch for window in parse.action_windows} == {name}
    if name == "low_res":
        assert [action.label for action in parse.actions] == ["carry", "talk"]
    assert {model.used for model in parse.models if model.stage == "low_res"} == {name == "low_res"}
    assert {model.used for model in parse.models if model.stage == "recognizer"} == {name != "low_res"}
    parse_to_files(parser, Job(tmp_path / "v.mp4", tmp_path / "p.json", None), quiet=True)
    document = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(document, json_schema())
    assert document["vocabulary"]["low_res_actions"] == list(SMALL)
    again = read_parse(tmp_path / "p.json")
    assert (again.branch, [a.label for a in again.actions]) == (parse.branch, [a.label for a in parse.actions])


def test_no_recognizer_of_large_videos(small_weights: Path, tiny_pipeline: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", [np.full((96, 160, 3), 50, np.uint8)] * 3)
    low_res = f"low_res={{recognizers: [{{name: tsm, weights: {small_weights}}}]}}"
    parse = VideoParser.from_config(str(tiny_pipeline), [low_res, "recognizers=[]"], "cpu")(tmp_path / "v.mp4")
    assert parse.actions == parse.action_windows == ()
    assert {model.used for model in parse.models if model.stage == "low_res"} == {False}


def test_multi_label_recognizers_of_large_videos(tiny_pipeline: Path, tmp_path: Path) -> None:
    """Any number of their actions may hold, they condition no states, and they end no ensemble early."""
    multi = write_bias_network(tmp_path / "m.safetensors", ActionLabels(("run", "walk"), multi_label=True), (2.0, 1.0))
    single = tiny_pipeline.parent / "tsm.safetensors"
    write_video(tmp_path / "v.mp4", [np.full((96, 160, 3), 50, np.uint8)] * 3)
    one, other = (f"{{name: tsm, weights: {path}}}" for path in (multi, single))
    parser = VideoParser.from_config(str(tiny_pipeline), [f"recognizers=[{one}]"], "cpu")
    stream = parser.stream(tmp_path / "v.mp4")
    assert [action.label for action in stream.actions] == ["run", "walk"]
    assert list(stream)
    for settings, message in (
        ([f"recognizers=[{one}, {other}]"], "some are single-label and some multi-label"),
        ([f"recognizers=[{one}]", "early_exit_margin=0.5"], "early_exit_margin: 0.5 for multi-label recognizers"),
        ([f"recognizers=[{one}]", "action_floor={}"], "action_floor: for multi-label recognizers"),
    ):
        with pytest.raises(InputError, match=message):
            VideoParser.from_config(str(tiny_pipeline), settings, "cpu")

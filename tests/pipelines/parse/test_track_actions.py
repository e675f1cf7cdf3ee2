import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from builders import frame_parse, write_video

from parsing.document import json_schema, read_parse
from parsing.types import ActionScore, ActionScores, Array, Frame, FrameParse, ModelFacts
from pipelines import VideoParser
from pipelines.parse.jobs import parse_to_files
from pipelines.parse.sources import Job
from pipelines.parse.tubes import Item, TrackActions, TrackActionsConfig, square_around
from recognizers.by_size import BySize, Route
from recognizers.windows import WindowConfig

NAMES = ("dark", "bright")
Scene = dict[int, tuple[Sequence[float], int]]  # track id -> box, grey
LEFT, RIGHT = (20, 20, 120, 120), (200, 40, 300, 140)


class Watcher:
    """A recognizer of brightness that looks at every crop and remembers which it saw."""

    action_names, multi_label, background, least_frames = NAMES, False, (), 1
    models = (ModelFacts("recognizer", "watcher", None, "{}"),)

    def __init__(self, scripted: Sequence[float] = ()) -> None:
        self.seen: list[list[Frame]] = []
        self.scripted = iter(scripted)

    def indices(self, num_frames: int) -> Array:
        return np.arange(num_frames)

    def __call__(self, frames: Mapping[int, Frame], num_frames: int) -> ActionScores:
        self.seen.append([frames[i] for i in range(num_frames)])
        bright = next(self.scripted, float(np.mean([f.image.mean() for f in frames.values()])) / 255)
        return ActionScores.of(np.array([1 - bright, bright]), self.multi_label, self.models)


def scenes(times_s: Sequence[float], scene: Callable[[float], Scene], hw: tuple[int, int] = (160, 320)) -> Iterator[Item]:
    """Key frames that show grey persons."""
    for i, time_s in enumerate(times_s):
        image, found = np.zeros((*hw, 3), np.uint8), scene(time_s)
        for box, grey in found.values():
            x1, y1, x2, y2 = (max(0, round(side)) for side in box)
            image[y1:y2, x1:x2] = grey
        yield Frame("v.mp4", i, time_s, image), frame_parse(i, [box for box, _ in found.values()], list(found), time_s)


def tenths(start: int, end: int) -> list[float]:
    return [i / 10 for i in range(start, end)]


def route(watcher: Watcher) -> Route:
    return Route("recognizers", watcher, WindowConfig())


def recognized(items: Iterator[Item], watcher: Watcher | None = None, **options: object) -> dict[int, list[ActionScore]]:
    settings = {"window_s": 1.0, "every_s": 0.5, "expand": 1.0} | options
    tubes = TrackActions(TrackActionsConfig(**settings), BySize(route(watcher or Watcher())))  # type: ignore[arg-type]
    for _ in tubes(items):
        pass
    return tubes.found


def spans(found: Sequence[ActionScore]) -> list[tuple[str, float, float]]:
    return [(action.label, round(action.start_s, 6), round(action.end_s, 6)) for action in found]


def test_nobody_and_persons_without_a_track() -> None:
    watcher = Watcher()
    assert recognized(scenes(tenths(0, 30), lambda _: {}), watcher) == {}
    assert recognized(scenes(tenths(0, 30), lambda _: {-1: (LEFT, 200)}), watcher) == {}
    assert recognized(iter(())) == {}
    assert watcher.seen == []


def test_items_pass_unchanged() -> None:
    items: list[Item] = [*scenes(tenths(0, 12), lambda _: {1: (LEFT, 200)})]
    items.insert(3, (Frame("v.mp4", 99, 0.25, np.zeros((1, 1, 3), np.uint8)), None))  # between key frames, its image let go
    tubes = TrackActions(TrackActionsConfig(), BySize(route(Watcher())))
    assert [(id(f), id(p)) for f, p in tubes(iter(items))] == [(id(f), id(p)) for f, p in items]


def test_a_track_of_one_frame_is_too_little_unless_asked_for() -> None:
    once = [0.0, 0.5, 1.0]
    scene: Callable[[float], Scene] = lambda t: {1: (LEFT, 200)} if t == 0.5 else {}  # noqa: E731
    assert recognized(scenes(once, scene)) == {}
    assert spans(recognized(scenes(once, scene), min_frames=1)[1]) == [("bright", 0.5, 0.5)]


def test_a_track_shorter_than_a_window_is_recognized_by_what_there_is() -> None:
    watcher = Watcher()
    found = recognized(scenes(tenths(0, 40), lambda t: {1: (LEFT, 200)} if 0.95 < t < 1.45 else {}), watcher)
    assert spans(found[1]) == [("bright", 1.0, 1.4)]
    assert [[f.index for f in tube] for tube in watcher.seen] == [[10, 11, 12, 13, 14]]


def test_two_persons_each_do_their_own() -> None:
    found = recognized(scenes(tenths(0, 30), lambda _: {3: (LEFT, 20), 8: (RIGHT, 250)}))
    assert {track: spans(actions) for track, actions in found.items()} == {3: [("dark", 0.0, 2.9)], 8: [("bright", 0.0, 2.9)]}
    assert [found[track][0].score for track in (3, 8)] == pytest.approx([1 - 20 / 255, 250 / 255], abs=1e-5)


def test_windows_that_agree_become_one_with_their_mean() -> None:
    # Windows begin at 0, 0.5, 1, 1.5 and, cut short by the end, 2.
    watcher = Watcher([0.9, 0.7, 0.8, 0.2, 0.3])
    found = recognized(scenes(tenths(0, 28), lambda _: {1: (LEFT, 200)}), watcher)
    assert spans(found[1]) == [("bright", 0.0, 2.0), ("dark", 1.5, 2.7)]
    assert [action.score for action in found[1]] == pytest.approx([0.8, 0.75])
    assert [(tube[0].index, tube[-1].index) for tube in watcher.seen] == [(0, 9), (5, 14), (10, 19), (15, 24), (20, 27)]


def test_nothing_is_recognized_twice() -> None:
    watcher = Watcher()
    recognized(scenes([*tenths(0, 10), 1.7], lambda _: {1: (LEFT, 200)}), watcher, every_s=0.1, min_frames=2)
    # Windows that begin from 0.1 to 0.7 s hold no crop that the first did not.
    assert [(tube[0].time_s, tube[-1].time_s) for tube in watcher.seen] == [(0.0, 0.9), (0.8, 1.7)]


def test_a_window_that_shows_too_little_parts_those_around_it() -> None:
    watcher = Watcher()
    found = recognized(scenes([*tenths(0, 10), 1.5, *tenths(20, 30)], lambda _: {1: (LEFT, 200)}), watcher, every_s=1.0)
    assert spans(found[1]) == [("bright", 0.0, 1.0), ("bright", 2.0, 2.9)]
    assert [len(tube) for tube in watcher.seen] == [10, 10]


def test_a_track_that_comes_back_late_has_a_gap() -> None:
    found = recognized(scenes(tenths(0, 60), lambda t: {} if 1.95 < t < 3.95 else {1: (LEFT, 200)}))
    assert spans(found[1]) == [("bright", 0.0, 1.9), ("bright", 4.0, 5.9)]
    # Windows begin every 0.5 s: a gap of less leaves none empty.
    found = recognized(scenes(tenths(0, 60), lambda t: {} if 1.95 < t < 2.45 else {1: (LEFT, 200)}))
    assert spans(found[1]) == [("bright", 0.0, 2.0), ("bright", 2.5, 5.9)]
    found = recognized(scenes(tenths(0, 60), lambda t: {} if 1.95 < t < 2.35 else {1: (LEFT, 200)}))
    assert spans(found[1]) == [("bright", 0.0, 5.9)]


def test_squares_by_hand() -> None:
    def square(box: Sequence[float], expand: float = 1.0) -> list[float]:
        return square_around(np.array(box, np.float32), expand, (100, 300)).tolist()

    assert square((100, 20, 120, 60)) == [90, 20, 40]
    assert square((100, 20, 120, 60), 1.5) == [80, 10, 60]
    assert square((0, 60, 20, 100), 1.5) == [0, 40, 60]  # moved in from two borders
    assert square((280, -10, 310, 30), 1.5) == [240, 0, 60]
    assert square((100, 5, 120, 95), 2) == [60, 0, 100]  # expanded no further than the shorter side
    assert square((10, 40, 210, 60), 2) == [10, -50, 200]  # the person alone is longer than that
    assert square((50, 50, 50, 50)) == [49, 49, 2]


def test_tubes_at_the_border_show_the_image_alone() -> None:
    watcher = Watcher()
    recognized(scenes(tenths(0, 6), lambda _: {1: ((-20, 100, 40, 170), 255), 2: ((290, -30, 320, 50), 255)}), watcher, expand=1.5)
    assert len(watcher.seen) == 2
    for tube in watcher.seen:
        assert {f.image.shape for f in tube} <= {(105, 105, 3), (120, 120, 3)}
        assert not ((tube[-1].image > 100) & (tube[-1].image < 130)).all(2).any(), "grey of the outside"


def test_a_person_who_comes_closer_is_scaled_down_and_tells_its_size() -> None:
    sizes: list[float] = []
    near, far = Watcher([1.0] * 9), Watcher([0.0] * 9)

    def by_size(side_px: float) -> Route:
        sizes.append(side_px)
        return route(near if side_px >= 64 else far)

    def closer(time_s: float) -> Scene:
        side = 20 if time_s < 0.95 else 100
        return {1: ((50, 20, 50 + side / 2, 20 + side), 200)}

    options = TrackActionsConfig(window_s=1.0, every_s=1.0, expand=1.0, most_px=48)
    tubes = TrackActions(options, by_size)
    for _ in tubes(scenes(tenths(0, 20), closer)):
        pass
    assert spans(tubes.found[1]) == [("dark", 0.0, 1.0), ("bright", 1.0, 1.9)]
    assert {f.image.shape for f in far.seen[0]} == {(20, 20, 3)}
    assert {f.image.shape for f in near.seen[0]} == {(48, 48, 3)}
    # 100 px from 1.0 s on; the square follows with a delay of 0.2 s: 1 - exp(-1/2) of the way in the first tenth.
    assert sizes[0] == pytest.approx(20)
    after = [100 - 80 * np.exp(-i / 2) for i in range(1, 11)]
    assert sizes[1] == pytest.approx(np.median(after), abs=0.01)


def test_kept_crops_do_not_grow_with_the_video(caplog: pytest.LogCaptureFixture) -> None:
    """Ten persons of whom three have tubes, 50 key frames a second of which every window keeps at most eight."""
    options = TrackActionsConfig(window_s=1.0, every_s=0.5, most_tracks=3, most_frames=8, most_px=16)
    tubes = TrackActions(options, BySize(route(Watcher())))
    crowd: Scene = {i: ((30 * i, 10, 30 * i + 20, 60), 100) for i in range(1, 11)}
    most = 0
    for _ in tubes(scenes([i / 50 for i in range(300)], lambda _: crowd)):
        crops = [seen.crop for tube in tubes.tubes.values() for seen in tube.windows.items]
        assert all(crop.image.shape == (16, 16, 3) and crop.image.base is None for crop in crops), "a view would keep its frame"
        most = max(most, len(crops))
    assert 3 * 7 <= most <= 3 * 8
    assert tubes.tubes == {}
    assert sorted(tubes.found) == [1, 2, 3]
    assert "no free tube for some time (most_tracks): 7" in caplog.text


def test_a_tube_that_is_free_again_serves_the_next() -> None:
    def scene(time_s: float) -> Scene:
        return {1: (LEFT, 200), 2: (RIGHT, 200)} if time_s < 0.85 else {2: (RIGHT, 200)}

    found = recognized(scenes(tenths(0, 40), scene), most_tracks=1)
    assert spans(found[1]) == [("bright", 0.0, 0.8)]
    assert spans(found[2]) == [("bright", 1.8, 3.9)]  # a window after the first was seen last


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (48, 64, 3), np.uint8)
    return write_video(tmp_path_factory.mktemp("clip") / "c.mp4", [np.roll(picture, i // 4, 1) for i in range(17)])


TUBES = "track_actions={window_s: 0.8, every_s: 0.4, min_frames: 2}"


def test_streaming_whole_video_and_file_agree(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), [TUBES], "cpu")
    whole = parser(clip)
    assert whole.track_actions, "an untrained detector still finds somebody to follow"
    stream = parser.stream(clip)
    assert dict(stream.track_actions) == {}
    assert len(list(stream)) == 17
    assert stream.track_actions == whole.track_actions
    for batch in (1, 8):  # how frames are batched decides nothing
        other = VideoParser.from_config(str(tiny_pipeline), [TUBES, f"batch={batch}"], "cpu")(clip)
        assert {t: spans(found) for t, found in other.track_actions.items()} == {t: spans(f) for t, f in whole.track_actions.items()}
    parse_to_files(parser, Job(clip, tmp_path / "p.json", tmp_path / "p.mp4"), quiet=True)
    document = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(document, json_schema())
    read = read_parse(tmp_path / "p.json")
    assert read.track_actions.keys() == whole.track_actions.keys()
    for track_id, found in whole.track_actions.items():
        assert [a.label for a in read.track_actions[track_id]] == [a.label for a in found]
        assert [a.score for a in read.track_actions[track_id]] == pytest.approx([a.score for a in found], abs=1e-5)
        track = next(track for track in document["tracks"] if track["track_id"] == track_id)
        assert all(track["start_s"] - 0.2 <= a.start_s <= a.end_s <= track["end_s"] for a in found)
    assert [model.stage for model in read.models][-1] == "track_actions"


def test_tracks_change_nothing_else(tiny_pipeline: Path, clip: Path) -> None:
    plain, tubed = (VideoParser.from_config(str(tiny_pipeline), extra, "cpu")(clip) for extra in ([], [TUBES]))
    assert not plain.track_actions
    assert plain.actions == tubed.actions
    one: FrameParse
    for one, other in zip(plain.frames, tubed.frames, strict=True):
        assert np.array_equal(one.persons.xyxy, other.persons.xyxy)
        assert np.array_equal(one.states.scores, other.states.scores)


@pytest.mark.parametrize("low_res", [True, False])
def test_small_persons_of_a_large_video_go_where_they_are_sent(tiny_pipeline: Path, clip: Path, low_res: bool) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), [TUBES, f"track_actions.low_res={low_res}"], "cpu")
    large, small = Watcher(), Watcher()
    parser.tracks_by_size = BySize(route(large), Route("low_res", small, WindowConfig()), limit_px=60)  # the video has 64
    stream = parser.stream(clip)
    list(stream)
    assert bool(small.seen) == low_res
    assert {branch for branch, _ in stream._track_actions.used} == {"low_res" if low_res else "recognizers"}  # type: ignore[union-attr]


def test_tracks_are_looked_at_fewer_times_than_videos(tiny_pipeline: Path) -> None:
    weights = tiny_pipeline.with_name("tsm.safetensors")
    twice = f"recognizers=[{{name: tsm, weights: {weights}, views: [{{clips: 2}}, {{clips: 1, flip: true}}]}}]"
    parser = VideoParser.from_config(str(tiny_pipeline), [twice, "track_actions={clips: 1}"], "cpu")
    video, track = (sizes.large.recognizer.members[0] for sizes in (parser.by_size, parser.tracks_by_size))  # type: ignore[union-attr]
    assert [len(one.clips(30)) for one in (video, track)] == [3, 2]
    assert track.network is video.network
    alike = VideoParser.from_config(str(tiny_pipeline), [twice, "track_actions={}"], "cpu")
    assert alike.tracks_by_size is alike.by_size

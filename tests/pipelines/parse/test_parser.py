import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import VOCABULARY, ramp, write_video

from parsing.errors import InputError
from parsing.media.prefetch import prefetched
from parsing.media.video import Video
from pipelines import VideoParser


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(11)]
    return write_video(tmp_path_factory.mktemp("clip") / "c.mp4", noise)


def test_every_frame_has_a_parse(tiny_pipeline: Path, clip: Path) -> None:
    parse = VideoParser.from_config(str(tiny_pipeline), device="cpu")(clip)
    assert [frame.index for frame in parse.frames] == list(range(11))
    assert [frame.key for frame in parse.frames] == [i % 2 == 0 for i in range(11)]
    assert parse.complete
    assert parse.vocabulary == VOCABULARY
    (window,), (action,) = parse.action_windows, parse.actions  # short: one window, in which one action holds
    assert window.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert (action.score, action.start_s, action.end_s) == (window.probabilities.max(), 0.0, parse.facts.duration_s)
    assert all(0 < len(frame.persons) <= 3 for frame in parse.frames)
    assert all(np.all(np.diff(frame.persons.scores) <= 0) for frame in parse.frames)
    assert [model.stage for model in parse.models] == ["person_detector", "tracker", "part_detector", "part_states", "recognizer"]


def test_batches_do_not_change_the_parse(tiny_pipeline: Path, clip: Path) -> None:
    parses = [VideoParser.from_config(str(tiny_pipeline), [f"batch={n}"], "cpu")(clip) for n in (1, 8)]
    for one, other in zip(parses[0].frames, parses[1].frames, strict=True):
        assert one.persons.track_ids is not None
        assert np.array_equal(one.persons.track_ids, other.persons.track_ids)
        assert one.persons.xyxy == pytest.approx(other.persons.xyxy, abs=0.01)
        assert one.states.scores == pytest.approx(other.states.scores, abs=1e-3)


@pytest.mark.parametrize(("limit", "value"), [("GROUP_FRAMES", 3), ("GROUP_BYTES", 2 * 48 * 64 * 3), ("GROUP_BYTES", 1)])
def test_groups_of_frames_do_not_change_the_parse(
    tiny_pipeline: Path, clip: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), ["every=4"], "cpu")
    whole = parser(clip)
    monkeypatch.setattr(f"pipelines.parse.parser.{limit}", value)  # some groups now hold no key frame
    for one, other in zip(whole.frames, parser(clip).frames, strict=True):
        assert (one.index, one.key) == (other.index, other.key)
        assert one.persons.xyxy == pytest.approx(other.persons.xyxy, abs=0.01)


def test_streaming_gives_the_same_frames(tiny_pipeline: Path, clip: Path) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), device="cpu")
    stream = parser.stream(clip)
    assert stream.actions
    for streamed, whole in zip(stream, parser(clip).frames, strict=True):
        assert np.array_equal(streamed.persons.xyxy, whole.persons.xyxy)
    assert stream.complete
    assert stream.facts.frames_decoded == 11


def test_the_frames_of_a_stream_come_once(tiny_pipeline: Path, clip: Path) -> None:
    parser = VideoParser.from_config(str(tiny_pipeline), device="cpu")
    for stream in (parser.stream(clip), parser.stream(frames=[np.zeros((48, 64, 3), np.uint8)] * 3, fps=10)):
        assert list(stream)
        with pytest.raises(InputError, match=r"^(.+\.mp4|frames): the frames of a stream come once, .* expected a new stream$"):
            next(iter(stream))
    left = parser.stream(clip)
    next(iter(left))
    with pytest.raises(InputError, match="come once"):
        next(left.with_frames())


def test_a_stream_may_be_left_early(tiny_pipeline: Path, clip: Path) -> None:
    before = threading.active_count()
    stream = iter(VideoParser.from_config(str(tiny_pipeline), device="cpu").stream(clip))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_program_may_end_before_its_stream(tiny_pipeline: Path, clip: Path) -> None:
    lines = f"from pipelines import VideoParser\nframes = iter(VideoParser.from_config({str(tiny_pipeline)!r}).stream({str(clip)!r}))\n"
    done = subprocess.run([sys.executable, "-c", lines + "next(frames)\n"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_limits_keep_the_best(tiny_pipeline: Path, clip: Path) -> None:
    one = VideoParser.from_config(str(tiny_pipeline), ["max_persons=1", "every=5"], "cpu")(clip)
    assert {len(frame.persons) for frame in one.frames} == {1}
    assert [frame.index for frame in one.frames if frame.key] == [0, 5, 10]


def test_nobody_is_a_valid_parse(tiny_pipeline: Path, clip: Path) -> None:
    parse = VideoParser.from_config(str(tiny_pipeline), ["person_detector.score_threshold=1"], "cpu")(clip)
    assert [len(frame.persons) for frame in parse.frames] == [0] * 11


def test_a_pipeline_may_do_without_actions(tiny_pipeline: Path, clip: Path) -> None:
    parse = VideoParser.from_config(str(tiny_pipeline), ["recognizers=[]"], "cpu")(clip)
    assert parse.actions == ()


def test_a_sure_recognizer_spares_the_next(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nc.mp4,walk\n")
    sure = f"{{name: oracle, recordings: {labels}, actions: [run, walk], weight: 0.2}}"
    tsm = f"{{name: tsm, weights: {tiny_pipeline.parent / 'tsm.safetensors'}, weight: 0.6}}"
    used, weights = {}, {}
    for margin in ("null", "0.9"):
        settings = [f"recognizers=[{sure}, {tsm}]", f"early_exit_margin={margin}"]
        parse = VideoParser.from_config(str(tiny_pipeline), settings, "cpu")(clip)
        assert parse.actions[0].label == "walk"
        used[margin] = [(model.name, model.used) for model in parse.models if model.stage == "recognizer"]
        (mixing,) = [model for model in parse.models if model.stage == "recognizers"]
        weights[margin] = json.loads(mixing.config)
    assert used == {"null": [("oracle", True), ("tsm", True)], "0.9": [("oracle", True), ("tsm", False)]}
    assert weights["0.9"] == {"weights": [0.25, 0.75], "exit_margin": 0.9}


def test_below_the_floor_no_action_holds(tiny_pipeline: Path, clip: Path) -> None:
    settings = ["track_actions={min_frames: 1}", "action_floor={least: 0.999, temperature: 2}"]
    parse = VideoParser.from_config(str(tiny_pipeline), settings, "cpu")(clip)
    assert parse.actions == ()
    assert not any(parse.track_actions.values())  # of whole videos and of tracks alike
    assert sum(parse.action_windows[0].probabilities) == pytest.approx(1)
    (floor,) = [model for model in parse.models if model.name == "action_floor"]
    assert floor.used
    assert json.loads(floor.config) == {"temperature": 2.0, "least": 0.999}


def test_damage_is_told(tiny_pipeline: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(60)]
    path = write_video(tmp_path / "d.mp4", noise, container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    parse = VideoParser.from_config(str(tiny_pipeline), device="cpu")(path)
    assert not parse.complete
    assert parse.facts.frames_declared == 60
    assert 0 < parse.facts.frames_decoded == len(parse.frames) < 60


def test_one_frame(tiny_pipeline: Path, tmp_path: Path) -> None:
    parse = VideoParser.from_config(str(tiny_pipeline), device="cpu")(write_video(tmp_path / "o.mp4", [ramp(3)]))
    assert len(parse.frames) == 1
    assert parse.actions == ()  # of which a recognizer of motion would see nothing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 0}, "every"),
        ({"every": 101}, "every"),
        ({"evry": 2}, r"unknown key 'evry'; did you mean 'every'\?"),
        ({"tracker": {"name": "sort"}}, "unknown name 'sort'"),
        ({"tracker": None}, "expected a mapping"),
        ({"recognizers": {"name": "tsm"}}, "expected a list"),
        ({"recognizers": ["tsm"]}, r"recognizers\.0: found 'tsm', expected a mapping"),
        ({"recognizers": [{"name": "tsm", "weight": -1}]}, r"recognizers\.0\.weight: .* greater than or equal to 0 \(found -1\)"),
        ({"recognizers": [{"name": "tsm", "weight": "w.safetensors"}]}, r"recognizers\.0\.weight: .* valid number"),
        ({"recognizers": [{"name": "tsm", "weight": float("inf")}]}, r"recognizers\.0\.weight: .* finite number"),
        ({"recognizers": [{"name": "tsm", "weight": 0}]}, "every weight is 0"),
        ({"early_exit_margin": 1.5}, r"early_exit_margin: .* less than or equal to 1"),
        ({"track_actions": {"every_s": 3}}, r"track_actions: every_s 3\.0 leaves gaps between windows of 2\.0 s"),
        ({"track_actions": {"min_frames": 40}}, r"min_frames 40 is above most_frames 32"),
        ({"track_actions": {"every": 1}}, r"unknown key 'track_actions\.every'; did you mean 'every_s'\?"),
        ({"track_actions": True}, "track_actions: "),
        ({"track_actions": {}, "recognizers": []}, "no recognizer that could see them"),
        ({"action_floor": {"least": 2}}, r"action_floor\.least: .* less than or equal to 1"),
        ({"part_detector": {"name": "cascade_rcnn", "weights": "none.safetensors"}}, r"none\.safetensors: weights not found"),
    ],
)
def test_bad_settings_are_named(tiny_pipeline: Path, tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(tiny_pipeline.read_text()) | change))
    with pytest.raises(InputError, match=message):
        VideoParser.from_config(str(path), device="cpu")


def test_missing_stages_are_named(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("every: 2")
    with pytest.raises(InputError, match="person_detector: Field required"):
        VideoParser.from_config(str(tmp_path / "c.yaml"), device="cpu")


def test_weights_of_another_stage_or_vocabulary_are_refused(tiny_pipeline: Path, tmp_path: Path) -> None:
    folder = tiny_pipeline.parent
    with pytest.raises(InputError, match="weights of 'tsm', expected 'cascade_rcnn'"):
        VideoParser.from_config(str(tiny_pipeline), [f"person_detector.weights={folder / 'tsm.safetensors'}"], "cpu")
    with pytest.raises(InputError, match="detects head, hip"):
        VideoParser.from_config(str(tiny_pipeline), [f"person_detector.weights={folder / 'part.safetensors'}"], "cpu")
    with pytest.raises(InputError, match="knows the parts"):
        VideoParser.from_config(str(tiny_pipeline), [f"part_detector.weights={folder / 'person.safetensors'}"], "cpu")
    (tmp_path / "l.csv").write_text("file,label\nc.mp4,jump\n")
    oracles = [f"{{name: oracle, recordings: {tmp_path / 'l.csv'}, actions: [{names}]}}" for names in ("jump, run", "run, walk")]
    with pytest.raises(InputError, match="recognizers 'oracle' and 'oracle' differ in their actions: jump, walk"):
        VideoParser.from_config(str(tiny_pipeline), [f"recognizers=[{', '.join(oracles)}]"], "cpu")


def test_prefetch_keeps_order_and_passes_errors_on() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise InputError("broken")

    seen = []

    def collect() -> None:
        for number in prefetched(numbers()):
            seen.append(number)

    with pytest.raises(InputError, match="broken"):
        collect()
    assert seen == [0, 1, 2, 3, 4]


def test_the_decoding_thread_ends_before_its_file_is_closed(tiny_pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise FFmpeg reads what is no longer there, and the process dies."""
    path = write_video(tmp_path / "a.mp4", [ramp(i % 20) for i in range(80)])
    alive: list[bool] = []
    close = Video.close

    def closing(self: Video) -> None:
        alive.append(any(thread.name == "decode" for thread in threading.enumerate()))
        close(self)

    monkeypatch.setattr(Video, "close", closing)
    stream = VideoParser.from_config(str(tiny_pipeline), device="cpu").stream(path)
    frames = stream.with_frames()
    next(frames)
    assert "decode" in {thread.name for thread in threading.enumerate()}
    alive.clear()
    frames.close()
    assert alive == [False]

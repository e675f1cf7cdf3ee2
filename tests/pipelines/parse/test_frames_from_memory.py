"""`stream(frames=...)`: the same pipeline for files, sequences and generators, in bounded memory."""

import itertools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse, ramp, write_video

from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.media.video import Video
from parsing.types import Array, Frame, FrameParse, VideoFacts
from parsing.writing import write_parse
from pipelines import VideoParser

EVERYTHING = [
    "every=3",
    "state_filter={name: smooth, window_s: 0.25}",
    "track_actions={window_s: 0.8, every_s: 0.4, min_frames: 2}",
    "windows={window_s: 0.5, every_s: 0.25}",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What untrained networks see in it changes from frame to frame."""
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (48, 64, 3), np.uint8)
    return write_video(tmp_path_factory.mktemp("clip") / "c.mp4", [np.roll(picture, 2 * i, 1) // (1 + i // 10) for i in range(23)])


def new_parser(pipeline: Path, settings: Sequence[str] = ()) -> VideoParser:
    return VideoParser.from_config(str(pipeline), settings, "cpu")


def parsed(parser: VideoParser, frames: object, fps: float | None = None) -> VideoParse:
    stream = parser.stream(frames=frames, fps=fps)  # type: ignore[arg-type]
    return stream.parse(tuple(stream))


def assert_same_persons(one: Sequence[FrameParse], other: Sequence[FrameParse]) -> None:
    """To the last digit."""
    for a, b in zip(one, other, strict=True):
        assert (a.index, a.key, a.time_s) == (b.index, b.key, pytest.approx(b.time_s, abs=1e-9))
        assert np.array_equal(a.persons.track_ids, b.persons.track_ids)  # type: ignore[arg-type]
        assert np.array_equal(a.persons.xyxy, b.persons.xyxy)
        assert np.array_equal(a.parts.xyxy, b.parts.xyxy)


def test_a_generator_gives_the_parse_of_the_file(tiny_pipeline: Path, clip: Path) -> None:
    """Without recognizers nothing depends on what is known when; boxes, tracks and states are those of the file."""
    parser = new_parser(tiny_pipeline, [*EVERYTHING[:2], "recognizers=[]"])
    whole, once = parser(clip), parsed(parser, Video(clip).frames())
    assert any((frame.persons.track_ids >= 0).any() for frame in whole.frames)  # type: ignore[operator]
    assert_same_persons(whole.frames, once.frames)
    assert all(np.array_equal(a.states.scores, b.states.scores) for a, b in zip(whole.frames, once.frames, strict=True))
    assert (once.complete, once.facts.frames_decoded, once.facts.fps, once.facts.name) == (True, 23, pytest.approx(10), "frames")


def test_a_sequence_is_conditioned_as_a_file_is(tiny_pipeline: Path, clip: Path) -> None:
    parser = new_parser(tiny_pipeline, EVERYTHING)
    whole, again = parser(clip), parsed(parser, list(Video(clip).frames()))
    assert len(whole.action_windows) > 5
    assert whole.track_actions
    assert_same_persons(whole.frames, again.frames)
    for a, b in zip(whole.frames, again.frames, strict=True):
        assert np.array_equal(a.states.scores, b.states.scores)
    assert again.actions == whole.actions
    assert again.track_actions == whole.track_actions


def test_a_generator_has_actions_and_actions_of_tracks(tiny_pipeline: Path, clip: Path, tmp_path: Path) -> None:
    """What the recognizers see is that of the file; part states alone are conditioned on what is known by then."""
    parser = new_parser(tiny_pipeline, EVERYTHING)
    whole, stream = parser(clip), parser.stream(frames=Video(clip).frames())
    assert list(stream.actions) == []
    once = stream.parse(tuple(stream))
    assert_same_persons(whole.frames, once.frames)
    assert once.actions == whole.actions
    assert [w.probabilities.tolist() for w in once.action_windows] == [w.probabilities.tolist() for w in whole.action_windows]
    assert once.track_actions == whole.track_actions
    write_parse(once, tmp_path / "p.json")
    assert len(read_parse(tmp_path / "p.json").frames) == 23


def test_states_of_a_generator_are_conditioned_on_the_latest_complete_window(tiny_pipeline: Path, clip: Path) -> None:
    given: dict[int, dict[int, list[float] | None]] = {1: {}, 3: {}}
    for batch, to in given.items():
        parser = new_parser(tiny_pipeline, [*EVERYTHING, f"batch={batch}"])
        states = parser.part_states

        def noting(frames, persons, parts, actions, to=to, states=states):  # type: ignore[no-untyped-def]
            to.update({frame.index: None if actions is None else actions.tolist() for frame in frames})
            return states(frames, persons, parts, actions)

        noting.vocabulary = states.vocabulary  # type: ignore[attr-defined]
        parser.part_states = noting  # type: ignore[assignment]
        windows = [window.probabilities.tolist() for window in parsed(parser, Video(clip).frames()).action_windows]
        # Windows end at 0.5, 0.75, 1.0, ... s; a frame knows those that end before or at its own time, 0.3 s apart.
        known = [max((i for i in range(7) if 0.5 + 0.25 * i <= 0.3 * k + 1e-9), default=None) for k in range(8)]
        assert known == [None, None, 0, 1, 2, 4, 5, 6]
        assert to == {3 * k: None if i is None else windows[i] for k, i in enumerate(known)}
    assert given[1].keys() == given[3].keys()


def test_batches_do_not_change_the_parse_of_a_generator(tiny_pipeline: Path, clip: Path) -> None:
    one, other = (parsed(new_parser(tiny_pipeline, [*EVERYTHING, f"batch={n}"]), Video(clip).frames()) for n in (1, 8))
    for a, b in zip(one.frames, other.frames, strict=True):
        assert np.array_equal(a.persons.track_ids, b.persons.track_ids)  # type: ignore[arg-type]
        assert a.persons.xyxy == pytest.approx(b.persons.xyxy, abs=0.01)
        assert a.states.scores == pytest.approx(b.states.scores, abs=1e-3)
    assert [(a.label, a.start_s, a.end_s) for a in one.actions] == [(a.label, a.start_s, a.end_s) for a in other.actions]
    assert one.track_actions.keys() == other.track_actions.keys()


def test_an_endless_generator_is_read_a_bounded_number_of_frames_ahead(tiny_pipeline: Path) -> None:
    taken = 0

    def endless() -> Iterator[Array]:
        nonlocal taken
        for i in itertools.count():
            taken = i + 1
            yield ramp(i % 20)

    before = threading.active_count()
    stream = iter(new_parser(tiny_pipeline, EVERYTHING).stream(frames=endless(), fps=10))
    ahead = []
    for number in range(120):
        assert next(stream).index == number
        ahead.append(taken - number)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    # Six frames (batch 2, every 3) are in the networks, as many are decoded and one more waits, one opens the next group;
    # the tracker holds up to seven, the filter three, and interpolation three.
    assert max(ahead) <= 6 + 6 + 1 + 1 + 7 + 3 + 3


def test_the_first_frames_of_a_track_are_interpolated(tiny_pipeline: Path, tmp_path: Path) -> None:
    """A person of the replayed parse moves by 3 px a frame; key frames lie four apart."""
    boxes = [[10 + 3 * i, 10, 30 + 3 * i, 40] for i in range(9)]
    facts = VideoFacts("m.mp4", 64, 48, 0, 10.0, 0.9, 9, 9, 0)
    recorded = VideoParse(facts, VOCABULARY, (), tuple(frame_parse(i, [box], [-1]) for i, box in enumerate(boxes)), (), True)
    write_parse(recorded, tmp_path / "m.mp4.json")
    replay = f"person_detector={{name: replay, recordings: {tmp_path}}}"
    parser = new_parser(tiny_pipeline, [replay, "every=4", "recognizers=[]", "tracker={name: bytetrack}"])
    frames = [Frame("m.mp4", i, i / 10, ramp(i)) for i in range(9)]
    for frame, box in zip(parsed(parser, frames).frames, boxes, strict=True):
        assert frame.persons.track_ids is not None
        assert frame.persons.track_ids.tolist() == [1]
        assert frame.persons.xyxy[0] == pytest.approx(box, abs=1e-3)


def test_bad_frames_end_the_stream_in_one_line(tiny_pipeline: Path) -> None:
    parser, before = new_parser(tiny_pipeline), threading.active_count()
    pictures = [*(ramp(i) for i in range(9)), ramp(9, (64, 48))]
    with pytest.raises(InputError, match=r"cam: frame 9: \(H, W\) is \(64, 48\)"):
        list(parser.stream(frames=iter(pictures), fps=10, name="cam"))

    def broken() -> Iterator[Array]:
        yield ramp(0)
        raise OSError("the camera is gone")

    with pytest.raises(OSError, match="the camera is gone"):
        list(parser.stream(frames=broken(), fps=10))
    assert threading.active_count() == before


def test_a_stream_has_one_source(tiny_pipeline: Path, clip: Path) -> None:
    parser = new_parser(tiny_pipeline)
    for options in ({}, {"path": clip, "frames": [ramp(0)]}, {"path": clip, "fps": 10}, {"fps": 10}):
        with pytest.raises(InputError, match="stream: expected either a path, or frames with their fps"):
            parser.stream(**options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="frames: no frames, expected at least one"):
        parser.stream(frames=[], fps=10)
    stream = parser.stream(frames=iter([ramp(0), ramp(1)]), fps=10)
    assert len(list(stream)) == 2
    with pytest.raises(InputError, match="come once, and were asked for before"):
        list(stream)

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse

from parsing.document import VideoParse, read_parse
from parsing.errors import InputError
from parsing.streamed import ParseFile
from parsing.types import ActionScore, FrameParse, VideoFacts
from parsing.writing import ParseWriter, write_parse

FACTS = VideoFacts("a.mp4", 320, 240, 0, 10.0, 1.0, 3, 3, 0)
FRAMES = (frame_parse(0, [[10, 20, 60, 120], [100, 30, 140, 90]], [1, -1]), frame_parse(1, []), frame_parse(2, [[11, 20, 61, 120]], [1]))


def parse(*frames: FrameParse) -> VideoParse:
    return VideoParse(
        FACTS, VOCABULARY, (ActionScore("walk", 0.75, 0.0, 1.0),), frames, (), True, {1: (ActionScore("run", 0.5, 0.0, 0.1),)}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_parse(parse(*FRAMES), tmp_path / "p.json")
    return tmp_path / "p.json"


def test_it_gives_what_the_whole_reader_gives(path: Path) -> None:
    streamed, whole = ParseFile(path), read_parse(path)
    assert streamed.parse.frames == ()
    assert (streamed.parse.facts, streamed.parse.actions, streamed.parse.track_actions) == (whole.facts, whole.actions, whole.track_actions)
    for _ in range(2):  # from the start each time
        for one, other in zip(streamed.frames, whole.frames, strict=True):
            assert (one.index, one.time_s, one.key) == (other.index, other.time_s, other.key)
            assert np.array_equal(one.persons.track_ids, other.persons.track_ids)
            assert np.array_equal(one.parts.xyxy, other.parts.xyxy)
            assert np.array_equal(one.states.scores, other.states.scores)


@pytest.mark.parametrize("indent", [None, 2])
def test_other_layouts_are_read_whole(path: Path, indent: int | None) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
    assert [frame.index for frame in ParseFile(path).frames] == [0, 1, 2]


def test_nobody_and_no_frame(tmp_path: Path) -> None:
    write_parse(parse(), tmp_path / "p.json")
    assert list(ParseFile(tmp_path / "p.json").frames) == []


def test_memory_does_not_grow_with_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parsing.streamed._STEP", 4096)  # smaller than both files, as it is in long videos

    def peak(num_frames: int) -> int:
        with ParseWriter(tmp_path / "p.json", VOCABULARY) as writer:
            for i in range(num_frames):
                writer.add(frame_parse(i, [[10, 20, 60, 120]] * 3))
            writer.finish(parse())
        tracemalloc.start()
        for _ in ParseFile(tmp_path / "p.json").frames:
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(20), peak(100)
    assert many < 1.2 * few


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"1.3"', '"9.0"', "schema_version.*'1.0', '1.1', '1.2' or '1.3'"),
        ('"index": 2', '"index": 1', "index 1 after 1"),
        ('"track_id": null', '"track_id": 1', "track_id 1 stands twice"),
        ('"time_s": 0.2', '"time_s": "soon"', r"frames\.time_s"),
        ('"label": "bend"', '"label": "fly"', "'fly' is not in the vocabulary"),
        ('"tracks"', '"trucks"', "tracks"),
        ('"complete": true}', '"complete": true', "not JSON, or cut off"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(path: Path, old: str, new: str, told: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=told) as error:
        list(ParseFile(path).frames)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_cut_off_or_missing(path: Path, tmp_path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])
    for wrong in (path, tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match=str(wrong)):
            ParseFile(wrong)

"""Annotations and answers of TinyVIRAT-v2: hostile ones first."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsing.datasets.tinyvirat import TinyClip, check_files, multi_hot, read_class_map, read_tinyvirat
from parsing.errors import InputError
from pipelines.benchmarks.tinyvirat.submission import read_answer, write_answer

CLASSES = ("Opening", "Closing", "activity_walking")
CLIP: dict[str, Any] = {
    "id": "00007",
    "video_id": "v",
    "path": "v/00007.mp4",
    "dim": [55, 104, 104],
    "label": ["activity_walking", "Opening"],
}
REAL = Path(__file__).parents[4] / "shared/data/formats/tinyvirat"


def written(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{", "not JSON, or cut off"),
        ({}, "found {}, expected a list of clips"),
        ([], r"found \[\], expected a list of clips"),
        (["00007"], "clip 0: found '00007', expected an object with id, path, dim, label"),
        ([{key: CLIP[key] for key in ("id", "path", "label")}], r"clip 0 \(id 00007\): no 'dim'"),
        ([{key: CLIP[key] for key in ("id", "path", "dim")}], r"clip 0 \(id 00007\): no 'label'"),
        ([CLIP | {"id": 7}], "id 7, expected a text of five digits"),
        ([CLIP | {"id": "0007"}], "id '0007', expected a text of five digits"),
        ([CLIP | {"id": "0000\u0667"}], "expected a text of five digits"),
        ([CLIP | {"path": "../../etc/00007.mp4"}], "path '../../etc/00007.mp4', expected <video>/<id>.mp4 below"),
        ([CLIP | {"path": "..\\00007.mp4"}], "path '../00007.mp4', expected <video>/<id>.mp4 below"),
        ([CLIP | {"path": "/00007.mp4"}], "expected <video>/<id>.mp4 below"),
        ([CLIP | {"dim": [55, 104]}], r"dim \[55, 104\], expected \[frames, height, width\]"),
        ([CLIP | {"dim": [0, 104, 104]}], r"expected \[frames, height, width\]"),
        ([CLIP | {"dim": [True, 104, 104]}], r"expected \[frames, height, width\]"),
        ([CLIP | {"label": "Opening"}], "label 'Opening', expected a list of class names"),
        ([CLIP | {"label": [3]}], r"label \[3\], expected a list of class names"),
        ([CLIP | {"label": ["activity_walkin"]}], "unknown label 'activity_walkin'; did you mean 'activity_walking'"),
        ([CLIP | {"label": []}], r"clip 0 \(id 00007\): no label; only clips of the test split may lack one"),
        ([CLIP, CLIP | {"path": "v/00008.mp4"}], "id '00007' stands twice"),
        ([CLIP, CLIP | {"id": "00008"}], "path 'v/00007.mp4' stands twice"),
        ('[{"id": "00007", "id": "00008"}]', "the key 'id' stands twice"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, value: Any, message: str) -> None:
    path = written(tmp_path / "a.json", value)
    with pytest.raises(InputError, match=message) as caught:
        read_tinyvirat(path, CLASSES, "val")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"found \[\], expected an object"),
        ({}, "found {}, expected an object"),
        ({"a": 0, "b": 2}, "class 'b' has number 2, expected 0 to 1, each once"),
        ({"a": 0, "b": 0}, "no class has number 1, and two have 0: 'b'"),
        ({"a": 0, "b": 2, "c": 2}, "no class has number 1, and two have 2"),
        ({"a": "0"}, "class 'a' has number '0'"),
        ({"a": False}, "class 'a' has number False"),
        ('{"a": 0, "a": 1}', "the key 'a' stands twice"),
    ],
)
def test_bad_class_maps_are_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_class_map(written(tmp_path / "c.json", value))


def test_clips_come_in_order_with_labels_in_the_order_of_the_map(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_class_map(written(tmp_path / "c.json", {"b": 1, "a": 0})) == ("a", "b")
    other = CLIP | {"id": "00002", "path": "w\\00002.mp4", "label": ["Closing", "Closing"]}
    path = written(tmp_path / "a.json", [CLIP, other])
    clips = read_tinyvirat(path, CLASSES, "train")
    assert clips[0] == TinyClip("00007", "v/00007.mp4", (55, 104, 104), ("Opening", "activity_walking"))
    assert [clip.id for clip in clips] == ["00007", "00002"]
    assert (clips[1].path, clips[1].labels) == ("w/00002.mp4", ("Closing",))
    assert "1 of 2 clips name a label twice" in caplog.text
    assert multi_hot(clips, CLASSES).tolist() == [[1, 0, 1], [0, 1, 0]]
    assert multi_hot([], CLASSES).shape == (0, 3)


def test_only_test_clips_may_lack_labels(tmp_path: Path) -> None:
    public = {key: CLIP[key] for key in ("id", "dim")} | {"path": "00007.mp4"}
    clips = read_tinyvirat(written(tmp_path / "a.json", [public, CLIP | {"id": "00008", "label": []}]), CLASSES, "test")
    assert [clip.labels for clip in clips] == [(), ()]
    assert multi_hot(clips, CLASSES).tolist() == [[-1, -1, -1]] * 2


def test_lost_videos_are_counted(tmp_path: Path) -> None:
    clips = [TinyClip(f"0000{i}", f"v/0000{i}.mp4", (1, 1, 1), ("Opening",)) for i in range(3)]
    (tmp_path / "v").mkdir()
    (tmp_path / "v/00001.mp4").touch()
    with pytest.raises(InputError, match=r"2 of 3 clips are not there, the first .*v/00000\.mp4"):
        check_files(clips, tmp_path)
    check_files(clips[1:2], tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the sample of the real annotations")
def test_the_real_sample_and_class_map() -> None:
    classes = read_class_map(REAL / "class_map_v2.json")
    assert len(classes) == 26
    assert (classes[0], classes[25]) == ("Opening", "Misc")
    clips = read_tinyvirat(REAL / "tiny_val_v2_sample.json", classes, "val")
    assert len(clips) == 6
    assert clips[1].labels == ("Loading", "activity_standing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: 0 lines, expected 3; clip 00000 is missing"),
        ("00000 0 1\n00001 1 1\n", "line 3: 2 lines, expected 3; clip 00002 is missing"),
        ("00000 0 1\n00002 1 1\n", "line 2: clip 00002, expected 00001"),
        ("00000 0 1\n00000 1 1\n", "line 2: clip 00000 stands in line 1 already"),
        ("00000 0 1\n00009 1 1\n", "line 2: '00009' is the id of no clip; expected 00001"),
        ("0 0 1\n", "line 1: '0' is the id of no clip"),
        ("\n", "line 1: '' is the id of no clip; expected 00000"),
        ("00000 0\n", "line 1: 1 labels, expected 2"),
        ("00000 0 1 0\n", "line 1: 3 labels, expected 2"),
        ("00000 0  1\n", "line 1: 3 labels, expected 2 separated by one space"),
        ("00000 01\n", "line 1: 1 labels, expected 2"),
        ("00000 0 2\n", "line 1: label '2', expected 0 or 1"),
        ("00000 0 1.0\n", r"line 1: label '1\.0', expected 0 or 1"),
        ("00000\t0\t1\n", "is the id of no clip"),
        ("00000 0 1\n00001 0 0\n00002 0 0\n00003 0 0\n", "line 4: '00003' is the id of no clip; expected the end of the file"),
        ("00000 0 1\n00001 0 0\n00002 0 0\n00001 0 0\n", "line 4: clip 00001 stands in line 2 already"),
        ("00000 0 \u0661\n", "cannot be read as an answer"),
    ],
)
def test_bad_answers_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "answer.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_answer(path, ["00000", "00001", "00002"], 2)


def test_answers_come_back(tmp_path: Path) -> None:
    ids, predicted = ["00003", "00001"], np.array([[True, False, True], [False, False, False]])
    write_answer(tmp_path / "answer.txt", ids, predicted)
    assert (tmp_path / "answer.txt").read_text() == "00003 1 0 1\n00001 0 0 0\n"
    np.testing.assert_array_equal(read_answer(tmp_path / "answer.txt", ids, 3), predicted)
    with pytest.raises(InputError, match="cannot be read as an answer"):
        read_answer(tmp_path / "none.txt", ids, 3)
    with pytest.raises(InputError, match="stands in line 1 already"):
        write_answer(tmp_path / "twice.txt", ["00001", "00001"], predicted)
    assert not (tmp_path / "twice.txt").exists()

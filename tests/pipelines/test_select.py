"""The command `pipelines.select`: which frames it picks, and tasks that the readers of both tools take."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse
from moving import FACTS, moving_parse, write_moving_video

from parsing.datasets import Format, read_records
from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.types import FrameParse, PartStates
from pipelines.select import build_parser, main
from pipelines.selection import OF_PERSONS, REASONS, Candidate, candidates, choose

BOX = [10, 20, 60, 120]


def sure(index: int, state: int = 0, score: float = 1.0) -> FrameParse:
    """One person of whom the left arm alone has a state."""
    frame = frame_parse(index, [BOX], [1])
    scores = np.zeros(frame.states.scores.shape)
    scores[0, 2, state] = score
    return replace(frame, states=PartStates(scores))


def person(index: int, score: float) -> FrameParse:
    frame = sure(index)
    return replace(frame, persons=replace(frame.persons, scores=np.array([score], np.float32)))


def parse_of(*frames: FrameParse, name: str = "a.mp4") -> VideoParse:
    return VideoParse(replace(FACTS, name=name), VOCABULARY, (), frames, (), True)


ARM = [VOCABULARY.states.index(name) for name in VOCABULARY.part_states[2]]


def test_reasons_by_hand() -> None:
    frames = (sure(0, ARM[0]), sure(1, ARM[0]), sure(2, ARM[1]), sure(3, ARM[0]), sure(4, ARM[0], 0.5))
    found = candidates([parse_of(*frames)], {})
    scores = {reason: [one.scores[i] for one in found] for i, reason in enumerate(REASONS)}
    assert np.round(scores["uncertain"][:4], 3).tolist() == [0, 0, 0, 0]
    assert scores["uncertain"][4] > 0
    assert scores["flicker"] == [0, 0, 2, 0, 0]
    assert scores["rare"][2] == pytest.approx(np.log(5))
    assert scores["rare"][0] == pytest.approx(np.log(5 / 4))


def test_persons_of_whom_the_parse_is_not_sure_come_before_frames_without_anybody() -> None:
    found = candidates([parse_of(person(0, 0.5), person(1, 0.99), frame_parse(2, []), person(3, 0.7))], {})
    assert [one.scores[0] for one in found] == pytest.approx([1, 4 * 0.99 * 0.01, 0.5, 4 * 0.7 * 0.3])
    assert [one.index for one in choose(found, 3, 0.0, OF_PERSONS)] == [0, 3, 2]


def test_disagreement_with_other_parses() -> None:
    one, other = parse_of(sure(0), sure(1)), parse_of(sure(0), frame_parse(1, []))
    column = REASONS.index("disagreement")
    assert [c.scores[column] for c in candidates([one], {"a.mp4": other})] == [0, 1]
    assert [c.scores[column] for c in candidates([one], {"b.mp4": other})] == [0, 0]


def test_frames_are_spread_over_time_and_videos() -> None:
    found = [Candidate(video, i, i / 10, (1.0 - i / 100, 0.0, 0.0, 0.0, 0.0)) for video in ("a", "b") for i in range(30)]
    chosen = choose(found, 4, 1.0)
    assert [(one.video, one.index) for one in chosen] == [("a", 0), ("b", 0), ("a", 10), ("b", 10)]
    assert len(choose(found, 100, 1.0)) == 6
    assert choose([], 3, 1.0) == []
    assert choose([Candidate("a", 0, 0.0, (0.0,) * 5)], 3, 1.0) == []


@pytest.fixture
def parse(tmp_path: Path) -> Path:
    moving_parse().save(tmp_path / "p.json")
    write_moving_video(tmp_path)
    return tmp_path / "p.json"


def select(parse: Path, *more: object) -> Path:
    out = parse.parent / "task"
    words = [parse, "--videos", parse.parent, "--apart", "0.2", "--out", out, "--quiet", *more]
    assert main(build_parser().parse_args([str(word) for word in words])) == 0
    return out


def test_a_task_for_cvat(parse: Path) -> None:
    out = select(parse, "--most", "3")
    records = read_records("cvat", out / "annotations.xml", out / "images")
    rows = _rows(out / "chosen.csv")
    assert sorted(int(record.path.stem[4:]) - 1 for record in records) == sorted(int(row["frame"]) for row in rows)
    assert len(records) == 3
    frames = {frame.index: frame for frame in moving_parse().frames}
    for record in records:
        frame = frames[int(record.path.stem[4:]) - 1]
        assert len(record.persons) == len(frame.persons)
        assert sum(len(person.parts) for person in record.persons) == frame.parts.visible.sum()


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("kind", ["cvat", "label_studio"])
def test_a_task_of_persons_alone_of_a_video_in_a_folder_below(kind: Format, parse: Path) -> None:
    (parse.parent / "a").mkdir()
    (parse.parent / FACTS.name).rename(parse.parent / "a" / FACTS.name)
    out = select(parse, "--most", "3", "--persons", "--format", kind)
    if kind == "cvat":
        path = out / "annotations.xml"
        assert [label["name"] for label in json.loads((out / "labels.json").read_text())] == ["person"]
    else:
        tasks = json.loads((out / "tasks.json").read_text())
        path = out / "confirmed.json"
        path.write_text(json.dumps([task | {"annotations": task["predictions"]} for task in tasks]))
        assert (out / "labels.xml").read_text().count("<Label ") == 1
    records = read_records(kind, path, out / "images")
    assert len(records) == 3
    assert sum(len(record.persons) for record in records) > 0
    assert not [person.parts for record in records for person in record.persons if person.parts or person.crowd]


def test_a_task_for_label_studio_counts_once_it_is_confirmed(parse: Path) -> None:
    out = select(parse, "--most", "2", "--format", "label_studio")
    tasks = json.loads((out / "tasks.json").read_text())
    assert read_records("label_studio", out / "tasks.json", out / "images") == []
    for task in tasks:
        task["annotations"] = task.pop("predictions")
    (out / "confirmed.json").write_text(json.dumps(tasks))
    records = read_records("label_studio", out / "confirmed.json", out / "images")
    assert len(records) == 2
    frames = {frame.index: frame for frame in moving_parse().frames}
    for record in records:
        frame = frames[int(record.path.stem[4:]) - 1]
        held = sorted((part.name, state) for one in record.persons for part in one.parts for state, holds in part.states.items() if holds)
        rows = np.argwhere(frame.states.scores >= 0.5).tolist()
        assert held == sorted((VOCABULARY.parts[p], VOCABULARY.states[s]) for _, p, s in rows)


@pytest.mark.filterwarnings("ignore")  # of the converter and its own dependencies
def test_label_studios_own_converter_reads_what_our_reader_reads(parse: Path) -> None:
    converter = pytest.importorskip("label_studio_sdk.converter.converter")
    out = select(parse, "--most", "2", "--format", "label_studio")
    tasks = json.loads((out / "tasks.json").read_text())
    facts = {"completed_by": 1, "was_cancelled": False, "created_at": "2026-01-01T00:00:00Z"}
    confirmed = [task | {"annotations": [task["predictions"][0] | facts | {"id": task["id"]}]} for task in tasks]
    (out / "confirmed.json").write_text(json.dumps(confirmed))
    reader = converter.Converter(str(out / "labels.xml"), str(out), upload_dir=str(out / "images"), download_resources=False)
    reader.convert_to_coco(str(out / "confirmed.json"), str(out / "coco"), output_image_dir=str(out / "images"), is_dir=False)
    theirs = json.loads((out / "coco" / "result.json").read_text())
    assert len(theirs["images"]) == 2
    records = read_records("label_studio", out / "confirmed.json", out / "images")
    boxes = [one.xyxy for record in records for person in record.persons for one in (person, *person.parts)]
    found = np.array(sorted(row["bbox"] for row in theirs["annotations"]))
    found[:, 2:] += found[:, :2]
    np.testing.assert_allclose(found, np.array(sorted(np.stack(boxes).tolist())), atol=0.01)


def test_inputs_that_do_not_fit(parse: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least 1 frame"):
        select(parse, "--most", "0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no parse"):
        select(tmp_path / "empty")
    parse_of(person(0, 1.0)).save(tmp_path / "sure.json")
    with pytest.raises(InputError, match="no frame of 1 key frames is worth a look"):
        select(tmp_path / "sure.json")
    (tmp_path / "a").mkdir()
    shutil.copy(tmp_path / FACTS.name, tmp_path / "a" / FACTS.name)
    with pytest.raises(InputError, match="holds two videos of the name"):
        select(parse)
    (tmp_path / "a" / FACTS.name).unlink()
    (tmp_path / FACTS.name).unlink()
    with pytest.raises(InputError, match="is not the video of the parse"):
        select(parse)
    assert not (tmp_path / "task").exists()


def test_a_video_named_by_dots_has_no_folder_of_pictures(tmp_path: Path) -> None:
    write_moving_video(tmp_path, replace(FACTS, name="...mp4"))
    replace(moving_parse(), facts=replace(FACTS, name="...mp4")).save(tmp_path / "p.json")
    with pytest.raises(InputError, match=r"'\.\.\.mp4': expected the name of a video in a parse"):
        select(tmp_path / "p.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["...mp4", "p.json"]

"""The command `pipelines.select`: which frames it picks, and tasks that the readers of both tools take."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse
from moving import FACTS, moving_parse, write_moving_video

from parsing.datasets import read_records
from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.types import FrameParse, PartStates
from pipelines.select import build_parser, main
from pipelines.selection import Candidate, candidates, choose

BOX = [10, 20, 60, 120]


def sure(index: int, state: int = 0, score: float = 1.0) -> FrameParse:
    """One person of whom the left arm alone has a state."""
    frame = frame_parse(index, [BOX], [1])
    scores = np.zeros(frame.states.scores.shape)
    scores[0, 2, state] = score
    return replace(frame, states=PartStates(scores))


def parse_of(*frames: FrameParse, name: str = "a.mp4") -> VideoParse:
    return VideoParse(replace(FACTS, name=name), VOCABULARY, (), frames, (), True)


ARM = [VOCABULARY.states.index(name) for name in VOCABULARY.part_states[2]]


def test_reasons_by_hand() -> None:
    frames = (sure(0, ARM[0]), sure(1, ARM[0]), sure(2, ARM[1]), sure(3, ARM[0]), sure(4, ARM[0], 0.5))
    found = candidates([parse_of(*frames)], {})
    assert [round(one.scores[0], 3) for one in found[:4]] == [0, 0, 0, 0]
    assert found[4].scores[0] > 0
    assert [one.scores[1] for one in found] == [0, 0, 2, 0, 0]
    assert found[2].scores[3] == pytest.approx(np.log(5))
    assert found[0].scores[3] == pytest.approx(np.log(5 / 4))


def test_disagreement_with_other_parses() -> None:
    one, other = parse_of(sure(0), sure(1)), parse_of(sure(0), frame_parse(1, []))
    assert [c.scores[2] for c in candidates([one], {"a.mp4": other})] == [0, 1]
    assert [c.scores[2] for c in candidates([one], {"b.mp4": other})] == [0, 0]


def test_frames_are_spread_over_time_and_videos() -> None:
    found = [Candidate(video, i, i / 10, (1.0 - i / 100, 0.0, 0.0, 0.0)) for video in ("a", "b") for i in range(30)]
    chosen = choose(found, 4, 1.0)
    assert [(one.video, one.index) for one in chosen] == [("a", 0), ("b", 0), ("a", 10), ("b", 10)]
    assert len(choose(found, 100, 1.0)) == 6
    assert choose([], 3, 1.0) == []
    assert choose([Candidate("a", 0, 0.0, (0.0, 0.0, 0.0, 0.0))], 3, 1.0) == []


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


def test_inputs_that_do_not_fit(parse: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected at least 1 frame"):
        select(parse, "--most", "0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no parse"):
        select(tmp_path / "empty")
    parse_of(frame_parse(0, [])).save(tmp_path / "nobody.json")
    with pytest.raises(InputError, match="is there nobody in the videos"):
        select(tmp_path / "nobody.json")
    (tmp_path / FACTS.name).unlink()
    with pytest.raises(InputError, match="is not the video of the parse"):
        select(parse)
    assert not (tmp_path / "task").exists()

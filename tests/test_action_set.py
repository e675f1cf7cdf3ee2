"""The script that makes the clips of the default recognizers, on clips and pictures that the test draws itself."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from builders import write_video
from commands import script as load_script

from parsing.datasets.clips import read_clip_records
from parsing.media.video import Video
from parsing.types import Array

COLUMNS = "file,label,source,scene,scene_disjoint,split,for_shipped_weights"
PERSON = (60, 20, 90, 100)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_action_set")


@pytest.fixture(scope="module")
def clips(script: ModuleType) -> ModuleType:
    return sys.modules[script.Maker.__module__]


def clip(path: Path, num_frames: int = 24) -> None:
    """A bright person on a dark ground of 200 x 150 px."""
    frames = np.full((num_frames, 150, 200, 3), 30, np.uint8)
    frames[:, PERSON[1] : PERSON[3], PERSON[0] : PERSON[2]] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, list(frames), fps=30)


class Sees:
    """In place of YOLOX: the person, where there is one."""

    def __init__(self, found: type) -> None:
        self.found = found

    def __call__(self, image: Array) -> object:
        num = int(image.max() > 150)
        return self.found(np.array([PERSON] * num, float).reshape(-1, 4), np.ones(num))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    clip(tmp_path / "jhmdb/wave/a.mp4")
    clip(tmp_path / "jhmdb/wave/b.mp4")
    (tmp_path / "jhmdb/labels.csv").write_text("file,label,split,source_video\nwave/a.mp4,wave,train,1\nwave/b.mp4,wave,val,2\n")
    boxes = "\n".join(f"wave/b.mp4,{i},60,20,90,100" for i in range(20))
    (tmp_path / "jhmdb/boxes.csv").write_text("file,frame,x1,y1,x2,y2\n" + boxes)
    rows = [
        "wave_one_hand/c.mp4,wave_one_hand,x,s1,no,train,research",
        "jump/banned.mp4,jump,x,s2,yes,train,no",
        "fall/d.mp4,fall,x,s3,no,train,no",
        "no_fight/e.mp4,no_fight,x,s4,yes,train,research",
        "extra/golf_swing/f.mp4,golf_swing,x,s5,yes,extra,research",
        "extra/clean_and_jerk/g.mp4,clean_and_jerk,x,s6,yes,extra,research",
    ]
    for row in rows:
        clip(tmp_path / "actions" / row.split(",")[0], 160 if "/f.mp4" in row else 24)
    (tmp_path / "actions/labels.csv").write_text("\n".join([COLUMNS, *rows]))
    names = {"people": ["street_1.jpg", "exercise_Pushups_0.jpg"], "scenes": [f"{i}.jpg" for i in range(4)]}
    for folder, files in names.items():
        (tmp_path / folder / "images").mkdir(parents=True)
        for name in files:
            cv2.imwrite(str(tmp_path / folder / "images" / name), np.random.default_rng(0).integers(0, 255, (160, 240, 3), np.uint8))
    street = {"file_name": "street_1.jpg", "source": "street"}
    gym = {"file_name": "exercise_Pushups_0.jpg", "source": "exercise", "exercise": "pushups"}
    (tmp_path / "people/annotations_train.json").write_text(json.dumps({"images": [street, gym]}))
    (tmp_path / "people/annotations_val.json").write_text(json.dumps({"images": []}))
    (tmp_path / "scenes/annotations.json").write_text(json.dumps({"images": [{"file_name": name} for name in names["scenes"]]}))
    return tmp_path


def make(script: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Run the script in this process, which has no graph to find persons by."""
    from teachers.movenet import Boxes

    class Here:
        def __init__(self, _: int, initializer: object) -> None:
            initializer()  # type: ignore[operator]

        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *_: object) -> None: ...

        map = staticmethod(map)

    monkeypatch.setattr(script, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(sys.modules[script.Maker.__module__], "Yolox", lambda _: Sees(Boxes))
    folders = [text for name in ("jhmdb", "actions", "people", "scenes") for text in (f"--{name}", str(data / name))]
    monkeypatch.setattr(sys, "argv", ["make", *folders, "--yolox", "yolox.onnx", "--out", str(data / "set")])
    script.main()
    with (data / "set/labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_set_is_what_it_says(script: ModuleType, clips: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make(script, data, monkeypatch)
    by_file = {row["file"]: (row["label"], row["split"], row["kind"]) for row in rows}
    assert by_file["wave/a.mp4"] == ("wave", "train", "frame")
    assert by_file["wave/a_tube.mp4"] == ("wave", "train", "tube")
    assert by_file["none/wave_a_scene.mp4"] == ("none", "train", "scene")
    assert by_file["wave/c.mp4"] == ("wave", "train", "frame")  # waves with one hand
    assert by_file["none/d.mp4"] == ("none", "val", "frame")  # falls, which no weights may be trained on
    assert by_file["golf/f_part1.mp4"] == ("golf", "train", "frame")
    assert "none/no_fight_e_scene.mp4" not in by_file  # others may be too small to be found
    assert by_file["none/street_1.mp4"] == ("none", "train", "still")
    assert [by_file[f"none/scene_{i}.mp4"][1] for i in range(4)] == ["val", "train", "train", "train"]
    assert not any(word in file for file in by_file for word in ("banned", "Pushups", "g.mp4"))
    records = read_clip_records("csv", data / "set", "labels.csv")  # every file is there
    assert len({record.name for record in records}) == len(records)
    scenes = {split: {row["scene"] for row in rows if row["split"] == split} for split in ("train", "val")}
    assert not scenes["train"] & scenes["val"]
    for row in rows:
        video = Video(data / "set" / row["file"])
        frames = list(video.frames())
        assert min(frames[0].image_hw) <= clips.SHORT_SIDE_PX
        if row["kind"] == "tube":
            assert frames[0].image_hw[0] == frames[0].image_hw[1]
            assert len(frames) == (8 if "part" not in row["file"] else 25)
    assert [r.name for r in read_clip_records("csv", data / "set", "jhmdb.csv")] == ["wave/b.mp4"]
    assert [r.name for r in read_clip_records("csv", data / "set", "jhmdb_tubes.csv")] == ["wave/b_tube.mp4"]
    assert {r.labels[0] for r in read_clip_records("csv", data / "set", "videos.csv")} == {"wave", "none"}
    with (data / "set/whole.csv").open(newline="") as file:
        whole = [(row["file"], row["label"], row["split"]) for row in csv.DictReader(file)]
    assert ("none/d.mp4", "none", "val") in whole
    assert ("golf/f.mp4", "golf", "train") in whole  # not in pieces
    assert {Path(name).stem for name, *_ in whole} == {"a", "b", "c", "d", "e", "f", "street_1", *(f"scene_{i}" for i in range(4))}


def test_a_set_that_was_stopped_is_gone_on_with(script: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make(script, data, monkeypatch)
    lines = (data / "set/made.jsonl").read_text().splitlines(keepends=True)
    (data / "set/made.jsonl").write_text("".join(lines[:3]) + lines[3][:5])  # a line was cut off
    before = (data / "set" / rows[0]["file"]).stat().st_mtime_ns
    assert make(script, data, monkeypatch) == rows
    assert (data / "set/made.jsonl").read_text() == "".join(lines)
    assert (data / "set" / rows[0]["file"]).stat().st_mtime_ns == before


def test_the_main_person_is_followed(clips: ModuleType) -> None:
    large, small = [10.0, 10, 50, 90], [60.0, 40, 70, 60]
    persons = [np.array([small, large]), np.zeros((0, 4)), np.array([[14.0, 10, 54, 90], small])]
    boxes = clips.main_person(persons, np.array([0, 5, 10]), 11)
    assert boxes[5].tolist() == pytest.approx([12, 10, 52, 90])
    assert clips.main_person([np.zeros((0, 4)), np.array([small])], np.array([0, 9]), 10) is None


def test_what_lies_beside_persons(clips: ModuleType) -> None:
    assert clips.beside([np.array([[70.0, 0, 90, 50]])], 100) == slice(0, 64)
    assert clips.beside([np.array([[10.0, 0, 40, 50]])], 100) == slice(46, 100)
    assert clips.beside([np.array([[30.0, 0, 70, 50]])], 100) is None
    assert clips.beside([np.zeros((0, 4))], 100) is None

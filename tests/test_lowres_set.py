"""The script that makes a low-resolution set, on clips that the test draws itself."""

import csv
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from builders import write_video
from commands import script as load_script

from parsing.datasets.tinyvirat import check_files, read_class_map, read_tinyvirat
from parsing.media.video import Video
from parsing.types import Array

COLUMNS = "file,label,scene,scene_disjoint,split,for_shipped_weights"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_lowres_set")


def moving(start: int, num_frames: int = 40) -> list[Array]:
    """A bright square that goes right over a dark ground of 48 x 96 px."""
    frames = np.full((num_frames, 48, 96, 3), 30, np.uint8)
    for t, frame in enumerate(frames):
        frame[16:32, start + t % 20 : start + t % 20 + 12] = 220
    return list(frames)


def write_source(root: Path) -> Path:
    rows = [
        *(f"t{i}.mp4,jump,s{i},yes,train,research" for i in range(3)),
        "t3.mp4,no_fight,s3,yes,train,research",
        "banned.mp4,jump,s4,yes,train,no",
        "v0.mp4,jump,s5,yes,val,no",
        "alike.mp4,jump,s6,no,val,research",
        "seen.mp4,jump,s0,yes,val,research",
        "v1.mp4,no_fight,s7,no,val,research",
        "only.mp4,fall,s8,yes,val,research",
        "extra.mp4,jump,s9,yes,extra,research",
    ]
    for number, row in enumerate(rows):
        write_video(root / row.split(",")[0], moving(2 * number), fps=20)
    (root / "labels.csv").write_text("\n".join([COLUMNS, *rows]))
    return root / "labels.csv"


def test_which_clips_may_be_used(script: ModuleType, tmp_path: Path) -> None:
    sources = script.read_sources(write_source(tmp_path))
    names = {split: {name: sorted(s.path.name for s in of) for name, of in classes.items()} for split, classes in sources.items()}
    assert names["train"] == {"jump": ["t0.mp4", "t1.mp4", "t2.mp4"], "misc": ["t3.mp4"]}
    assert names["val"] == {"jump": ["v0.mp4"], "misc": ["v1.mp4"]}


def test_shares_fall_with_the_rank(script: ModuleType) -> None:
    shares = script.long_tail({"rare": [1], "most": [1, 2, 3], "some": [1, 2]})
    assert list(shares) == ["most", "some", "rare"]
    assert shares["most"] / shares["rare"] == pytest.approx(3**script.EXPONENT)
    assert sum(shares.values()) == pytest.approx(1)


def test_windows_lie_on_the_motion_and_join_as_they_should(script: ModuleType) -> None:
    motion = np.zeros((48, 96), np.float32)
    motion[20:30, 60:80] = 50
    top, bottom, left, right = script.motion_crop(motion, 10)
    assert top <= 20 < 30 <= bottom
    assert left <= 60 < 80 <= right
    assert right - left < 60
    assert script.motion_crop(np.zeros((48, 96), np.float32), 112)[:2] == (0, 48)
    wide, tall = np.zeros((5, 20, 40, 3), np.uint8), np.zeros((7, 40, 20, 3), np.uint8)
    assert script.beside([wide, wide]).shape == (5, 40, 40, 3)
    assert script.beside([tall, tall]).shape == (7, 40, 40, 3)
    assert script.beside([wide, tall]).shape[0] == 5
    assert script.after([wide, tall]).shape == (12, 20, 40, 3)


def test_the_set_is_what_it_says(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = write_source(tmp_path)
    monkeypatch.setattr(script, "SHEET_ROWS", 1)
    monkeypatch.setattr(script, "SHEET_COLUMNS", 3)
    monkeypatch.setattr(sys, "argv", ["make", "--labels", str(labels), "--out", str(tmp_path / "set"), "--train", "12", "--val", "5"])
    script.main()
    root = tmp_path / "set"
    classes = read_class_map(root / "class_map.json")
    assert classes == ("jump", "misc")
    with (root / "sources.csv").open(newline="") as file:
        made = {row["id"]: row for row in csv.DictReader(file)}
    scenes: dict[str, set[str]] = {}
    for split in ("train", "val"):
        clips = read_tinyvirat(root / f"lowres_{split}.json", classes, split)
        check_files(clips, root / "videos" / split)
        scenes[split] = {scene for clip in clips for scene in made[clip.id]["scenes"].split()}
        for clip in clips:
            frames = list(Video(root / "videos" / split / clip.path).frames())
            assert (len(frames), *frames[0].image_hw) == clip.dim
            assert min(clip.dim[1:]) <= 112
            sources = {Path(name).name for name in made[clip.id]["sources"].split()}
            assert {("misc" if {"t3.mp4", "v1.mp4"} & {name} else "jump") for name in sources} == set(clip.labels)
    assert not scenes["train"] & scenes["val"]
    assert "jump" in (root / "README.txt").read_text()
    assert (root / "contact_sheet.png").is_file()
    every = " ".join(path.read_text() for path in root.glob("*.*") if path.suffix != ".png") + Path(str(script.__file__)).read_text()
    assert "virat" not in every.lower()
    with pytest.raises(FileExistsError):
        script.main()
    monkeypatch.setattr(sys, "argv", ["make", "--labels", str(labels), "--out", str(tmp_path / "again"), "--train", "12", "--val", "5"])
    script.main()
    assert (tmp_path / "again/lowres_train.json").read_text() == (root / "lowres_train.json").read_text()

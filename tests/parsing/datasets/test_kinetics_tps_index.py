"""Reading trees of annotations, their cache, frames from videos, and submissions."""

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse, ramp, write_video

from detectors.data import DetectionDataConfig
from parsing.datasets import read_records
from parsing.datasets.clips import read_clip_records
from parsing.datasets.kinetics_tps.index import build_index
from parsing.datasets.kinetics_tps.results import Results, read_truth
from parsing.datasets.kinetics_tps.truth import truth_frames, truth_vocabulary
from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.recorded.stages import Recordings
from parsing.states.sources import KineticsTPSStates, StateDataConfig
from parsing.types import ActionWindow, Frame, FrameParse, VideoFacts
from parsing.vocabulary import PART_NAMES, Vocabulary
from parsing.writing import write_parse
from pipelines.benchmarks.kinetics_tps.score import evaluate
from pipelines.benchmarks.kinetics_tps.submission import SubmissionWriter, video_json

STATES = ("bend", "lift", "step")
HUMAN: dict[str, Any] = {
    "number": 1,
    "box": [2, 2, 40, 44],
    "parts": {
        "left_arm": {"number": 1, "box": [4, 4, 12, 20], "verb": ["bend", "lift"], "name": "left_arm"},
        "head": {"number": 2, "box": [[10, 2, 20, 10]], "verb": "lift", "name": "head"},
    },
}


def write_tree(root: Path, videos: dict[str, str], frames: int = 2) -> Path:
    """`train/annotations/<class>/<video>/<video>/img_%05d.json`, and the videos themselves."""
    for video, action in videos.items():
        folder = root / "train/annotations" / action / video / video
        folder.mkdir(parents=True)
        for number in range(1, frames + 1):
            (folder / f"img_{number:05d}.json").write_text(json.dumps({"humans": [HUMAN]}))
        (root / "train/videos" / action).mkdir(parents=True, exist_ok=True)
        write_video(root / "train/videos" / action / f"{video}.mp4", [ramp(i) for i in range(frames)])
    (root / "part_stat.txt").write_text("\n".join(STATES) + "\n")
    (root / "classes.txt").write_text("run\nwalk\n")
    return root


def test_a_tree_is_read_once_and_again_when_it_changes(tmp_path: Path) -> None:
    tree, cache = write_tree(tmp_path, {"v": "run"}) / "train/annotations", tmp_path / "index.npz"
    index = build_index(tree, STATES, cache)
    assert index.files == ["run/v/v/img_00001.json", "run/v/v/img_00002.json"]
    assert index.file_of.tolist() == [0, 1]
    assert (index.action(1), index.video(1), index.frame(1)) == ("run", "v", 1)
    arm, head = PART_NAMES.index("left_arm"), PART_NAMES.index("head")
    assert np.flatnonzero(index.visible[0]).tolist() == sorted([arm, head])
    assert index.holds[0, arm].tolist() == [True, True, False]
    assert index.boxes[0, head].tolist() == [10, 2, 20, 10]
    file = tree / index.files[0]
    before = file.stat().st_mtime_ns
    file.write_text("cut off")
    os.utime(file, ns=(before, before))
    again = build_index(tree, STATES, cache)  # from the cache: the file was not opened
    assert again.files == index.files
    for name in ("file_of", "person_xyxy", "boxes", "visible", "holds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(index, name))
    os.utime(file)
    with pytest.raises(InputError, match=r"img_00001\.json: not JSON, or cut off"):
        build_index(tree, STATES, cache)
    cache.write_bytes(b"not an index")
    with pytest.raises(InputError, match="cut off"):
        build_index(tree, STATES, cache)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parts": {"left_arm": {"box": [0, 0, 5, 5], "verb": "bnd"}}}, "unknown state 'bnd'; did you mean 'bend'"),
        ({"parts": {"left_arn": {"box": [0, 0, 5, 5], "verb": "bend"}}}, "unknown part; did you mean 'left_arm'"),
        ({"box": [40, 2, 2, 44]}, "wrong order"),
        ({"box": [2, 2, None, 44]}, "expected four numbers|not finite"),
        ({"parts": {"left_arm": {"box": [0, 0, 5, 5], "verb": []}}}, r"verb \[\], expected a text"),
    ],
)
def test_bad_annotations_are_named(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    tree = write_tree(tmp_path, {"v": "run"}) / "train/annotations"
    (tree / "run/v/v/img_00002.json").write_text(json.dumps({"humans": [HUMAN | change]}))
    with pytest.raises(InputError, match=rf"img_00002\.json: human.*({expected})"):
        build_index(tree, STATES)


def test_trees_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no annotation"):
        build_index(tmp_path, STATES)
    (tmp_path / "img_00001.json").write_text("{}")
    with pytest.raises(InputError, match=r"expected <class>/<video>/img_00001\.json"):
        build_index(tmp_path, STATES)


def test_training_data_takes_frames_from_videos_and_holds_videos_out(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(12)]
    root = write_tree(tmp_path, {name: "run" if i % 2 else "walk" for i, name in enumerate(names)})
    (root / "split.yaml").write_text("val_share: 0.3")
    source = KineticsTPSStates(str(root))
    data = StateDataConfig(kinetics_tps=source)
    vocabulary = data.vocabulary()
    assert vocabulary.actions == ("run", "walk")
    assert dict(zip(vocabulary.parts, vocabulary.part_states, strict=True))["left_arm"] == ("bend", "lift")
    train, val = data.table("train", vocabulary), data.table("val", vocabulary)
    assert len(train) + len(val) == 24
    assert set(train.videos) | set(val.videos) == set(names)
    assert not set(train.videos) & set(val.videos)
    clips = read_clip_records("kinetics_tps", root, "")  # the recognizer's
    assert {clip.path.stem for clip in clips if clip.split == "val"} == set(val.videos)
    detection = DetectionDataConfig(
        str(root), format="kinetics_tps", train="train/annotations", val="train/annotations", images="train/frames"
    )
    assert {record.path.parent.name for record in detection.read("val")} == set(val.videos)
    assert {record.path.parent.name for record in detection.read("train")} == set(train.videos)
    assert len(val)
    assert all(path.is_file() for path in [*train.paths, *val.paths])
    assert train.known.sum(-1).max() == 3
    (root / "train/frames/walk/v0/img_00002.jpg").unlink()
    (root / "train/videos/walk/v0.mp4").unlink()
    with pytest.raises(InputError, match=r"v0: frame 2: no picture below .* and no video below"):
        [data.table(split, vocabulary) for split in ("train", "val")]


def test_parts_of_a_list_of_its_own(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"v": "run"})
    tree = root / "train/annotations"
    known = build_index(tree, STATES, tree.with_name("annotations_index.npz"))  # its cache is of other parts
    assert known.visible[0].sum() == 2
    glove = {"box": [4, 4, 12, 20], "verb": "bend"}
    for file in tree.rglob("*.json"):
        file.write_text(json.dumps({"humans": [HUMAN | {"parts": {"glove": glove, "head": HUMAN["parts"]["head"]}}]}))
    data = StateDataConfig(kinetics_tps=KineticsTPSStates(str(root), val_annotations=""))
    with pytest.raises(InputError, match="human 0: glove: unknown part"):
        data.vocabulary()
    (root / "parts.txt").write_text("helmet\nhead\nglove\n")
    vocabulary = data.vocabulary()
    assert vocabulary.parts == ("helmet", "head", "glove")
    assert vocabulary.part_states == ((), ("lift",), ("bend",))
    table = data.table("train", vocabulary)
    assert table.boxes[0].tolist() == [[0, 0, 0, 0], [10, 2, 20, 10], [4, 4, 12, 20]]
    (record, _) = read_records("kinetics_tps", tree, root / "train/frames")
    assert {part.name: dict(part.states) for part in record.persons[0].parts} == {"glove": {"bend": True}, "head": {"lift": True}}
    (root / "parts.txt").write_text("head\nhead\n")
    with pytest.raises(InputError, match=r"parts\.txt: 'head' stands twice"):
        read_records("kinetics_tps", tree, root / "train/frames")


def test_action_scores_come_from_parses(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", {"v": "run", "w": "walk"})
    parses = tmp_path / "parses"
    parses.mkdir()
    facts = VideoFacts("v.mp4", 64, 48, 0, 10.0, 0.2, 2, 2, 0)
    windows = (ActionWindow(0.0, 0.2, np.array([0.0, 0.7])),)
    write_parse(VideoParse(facts, VOCABULARY, (), (), (), True, action_windows=windows), parses / "v.mp4.json")
    (root / "split.yaml").write_text("val_share: 0.001")
    source = KineticsTPSStates(str(root))
    data = StateDataConfig(kinetics_tps=source, action_scores=str(parses))
    table = data.table("train", data.vocabulary())
    assert {video: table.predicted[table.videos == video][0].tolist() for video in ("v", "w")} == {
        "v": [0.0, pytest.approx(0.7)],
        "w": [0.0, 0.0],
    }
    with pytest.raises(InputError, match="no parse"):
        replace(data, action_scores=str(root)).table("train", data.vocabulary())


def test_a_video_that_ends_before_its_annotations_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"v": "run"}, frames=3)
    write_video(root / "train/videos/run/v.mp4", [ramp(0)])
    with pytest.raises(InputError, match=r"v\.mp4: lacks frame 2, which is annotated"):
        KineticsTPSStates(str(root), val_annotations="").table("train", VOCABULARY)


def test_lists_must_be_lists(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"v": "run"})
    (root / "part_stat.txt").write_text("bend\nbend\n")
    with pytest.raises(InputError, match=r"part_stat\.txt: 'bend' stands twice"):
        KineticsTPSStates(str(root)).state_names()
    with pytest.raises(InputError, match="name a source, images or kinetics_tps"):
        StateDataConfig().table("train", VOCABULARY)


PARSES = [frame_parse(i, [[0, 0, 40, 80], [50, 0, 90, 80]], seed=i) for i in range(12)]


@pytest.mark.parametrize("form", ["2021", "2022"])
def test_a_submission_reads_back_as_its_own_truth(tmp_path: Path, form: Any) -> None:
    path = tmp_path / "s.zip"
    with SubmissionWriter(path, form) as writer:
        writer.add("v", "run", PARSES, VOCABULARY)
        writer.add("w", "walk", PARSES[5:], VOCABULARY)
    with zipfile.ZipFile(path) as archive:
        parts, actions = (json.loads(archive.read(name)) for name in ("pred_part_result.json", "pred_vid_result.json"))
    assert actions == {"v": "run", "w": "walk"}
    assert list(parts["v"]) == ["img_00001.json", "img_00006.json", "img_00011.json"]
    assert list(parts["w"]) == ["img_00006.json", "img_00011.json"]
    human = parts["v"]["img_00001.json"]["humans"][0]
    assert list(human["parts"]) == list(PART_NAMES)  # the hidden right foot too
    box = human["parts"]["left_arm"]["box"]
    assert box == ([[0.0, 0.0, 40.0, 80.0]] if form == "2021" else [0.0, 0.0, 40.0, 80.0])
    truth = video_json([p for p in PARSES if p.index % 5 == 0], VOCABULARY, "2022")
    sides = Results({"v": truth}, {"v": "run"}, path, path), Results({"v": parts["v"]}, {"v": "run"}, path, path)
    assert evaluate(*sides)["score"] == pytest.approx(0.9999)


def test_a_submission_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"

    def write(*videos: list[FrameParse]) -> None:
        with SubmissionWriter(path, "2022") as writer:
            for frames in videos:
                writer.add("v", "run", frames, VOCABULARY)

    with pytest.raises(InputError, match="two parses of this video"):
        write(PARSES, PARSES)
    with pytest.raises(InputError, match="no frame"):
        write(PARSES[1:4])
    assert list(tmp_path.iterdir()) == []


def test_at_most_ten_persons_the_best() -> None:
    crowd = frame_parse(0, [[i, 0, i + 30, 60] for i in range(14)])
    humans = video_json([crowd], VOCABULARY, "2022")["img_00001.json"]["humans"]
    assert len(humans) == 10
    assert humans[0]["box"][0] == 0  # scores fall with the index
    empty = frame_parse(5, [])
    assert video_json([crowd, empty], VOCABULARY, "2022")["img_00006.json"] == {"humans": []}


def test_truth_serves_as_oracle(tmp_path: Path) -> None:
    objects = video_json([PARSES[0], PARSES[5]], VOCABULARY, "2022")
    (tmp_path / "gt_part_result.json").write_text(json.dumps({"v": objects}))
    (tmp_path / "gt_vid_result.json").write_text('{"v": "run"}')
    truth = read_truth(tmp_path)
    vocabulary = truth_vocabulary(truth)
    parses = truth_frames(truth, vocabulary)
    assert sorted(parses) == [("v", 0), ("v", 5)]
    assert video_json(list(parses.values()), vocabulary, "2022") == objects
    known = Recordings(tmp_path)
    image = np.zeros((90, 100, 3), np.uint8)
    assert len(known[Frame("v.mp4", 5, 0.5, image)].persons) == 2
    assert [scored.scores for scored in known.scores["v"]] == [{"run": 1.0}]
    with pytest.raises(InputError, match=r"holds nothing for frame 1 of 'v\.mp4'"):
        known[Frame("v.mp4", 1, 0.1, image)]


def test_states_that_an_annotation_does_not_know(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"v": "run"}, frames=1)
    path = root / "train/annotations/run/v/v/img_00001.json"
    doubted = {"number": 1, "box": [4, 4, 12, 20], "verb": ["bend"], "unknown": ["step"]}
    path.write_text(json.dumps({"humans": [HUMAN | {"parts": {"left_arm": doubted}}]}))
    arm, cache = PART_NAMES.index("left_arm"), tmp_path / "index.npz"
    for _ in range(2):  # read, and from the cache
        assert build_index(root / "train/annotations", STATES, cache).unknown[0, arm].tolist() == [False, False, True]
    vocabulary = Vocabulary("v", PART_NAMES, STATES, (STATES,) * 10, ("run",))
    table = KineticsTPSStates(str(root), val_annotations="").table("train", vocabulary)
    table = table if len(table) else KineticsTPSStates(str(root), val_annotations="").table("val", vocabulary)
    assert table.known[0, arm].tolist() == [True, True, False]
    assert table.holds[0, arm].tolist() == [True, False, False]
    for wrong, message in ((["fly"], "unknown state 'fly'"), ("step", "expected a list of states"), ([1], "expected a list of states")):
        path.write_text(json.dumps({"humans": [HUMAN | {"parts": {"left_arm": doubted | {"unknown": wrong}}}]}))
        with pytest.raises(InputError, match=message):
            build_index(root / "train/annotations", STATES)

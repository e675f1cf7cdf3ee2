"""What exporters write, read back by readers that are not theirs: no box, id, state or time is lost."""

import importlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import VOCABULARY, frame_parse
from moving import ACTIONS, FACTS, NUM_FRAMES, moving_parse, write_moving_video

from parsing.configs import chosen_class
from parsing.datasets import read_records
from parsing.datasets.records import ImageRecord
from parsing.document import VideoParse
from pipelines.exporters import EXPORTERS
from pipelines.exporters.fiftyone import field_name

PARSE = moving_parse()
Rows = dict[int, list[tuple[Any, ...]]]


def write(name: str, out: Path, parses: Iterable[VideoParse] = (PARSE,), **options: Any) -> Path:
    chosen_class(EXPORTERS, name)(**options).write(parses, out)
    return out


def persons() -> Rows:
    """Boxes of each frame with persons, in order."""
    return {frame.index: sorted(map(tuple, frame.persons.xyxy.tolist())) for frame in PARSE.frames if len(frame.persons)}


def parts() -> Rows:
    """Part, box, and the states that hold, of each frame with persons."""
    return {
        frame.index: sorted(
            (name, *frame.parts.xyxy[row, p].tolist(), *held(frame.states.scores[row, p]))
            for row in range(len(frame.persons))
            for p, name in enumerate(VOCABULARY.parts)
            if frame.parts.visible[row, p]
        )
        for frame in PARSE.frames
        if len(frame.persons)
    }


def held(scores: Any) -> list[str]:
    return sorted(VOCABULARY.states[s] for s in np.flatnonzero(scores >= 0.5))


def same(found: Rows, expected: Rows, within_px: float) -> None:
    assert found.keys() == expected.keys()
    for frame, rows in expected.items():
        texts = [[value for value in row if isinstance(value, str)] for row in sorted(rows)]
        assert [[value for value in row if isinstance(value, str)] for row in sorted(found[frame])] == texts, frame
        numbers = [[value for value in row if not isinstance(value, str)] for row in sorted(rows)]
        assert np.allclose([[v for v in row if not isinstance(v, str)] for row in sorted(found[frame])], numbers, atol=within_px), frame


def of_records(records: list[ImageRecord]) -> tuple[Rows, Rows]:
    """Persons and parts of the frames that pictures were taken from."""
    boxes: Rows = {}
    found: Rows = {}
    for record in records:
        frame = int(record.path.stem.removeprefix("img_")) - 1
        boxes[frame] = sorted(tuple(person.xyxy.tolist()) for person in record.persons)
        found[frame] = sorted(
            (part.name, *part.xyxy.tolist(), *sorted(state for state, holds in part.states.items() if holds))
            for person in record.persons
            for part in person.parts
        )
    return boxes, found


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_moving_video(tmp_path)


@pytest.mark.parametrize("tolerance_px", [0.0, 0.5])
def test_cvat_read_by_the_trainers(video: Path, tmp_path: Path, tolerance_px: float) -> None:
    out = write("cvat", tmp_path / "task", tolerance_px=tolerance_px)
    boxes, found = of_records(read_records("cvat", out / "walk it.mp4.xml", video.parent))
    same(boxes, persons(), tolerance_px + 0.01)
    same(found, parts(), tolerance_px + 0.01)


def test_label_studio_read_by_the_trainers(video: Path, tmp_path: Path) -> None:
    out = write("label_studio", tmp_path / "task", result="annotations", tolerance_px=0.0)
    boxes, found = of_records(read_records("label_studio", out / "tasks.json", video.parent))
    same(boxes, persons(), 0.01)
    same(found, parts(), 0.01)


def test_coco_and_yolo_read_by_the_trainers(video: Path, tmp_path: Path) -> None:
    out = write("coco", tmp_path / "coco", videos=video.parent)
    boxes, found = of_records([record for record in read_records("coco", out / "annotations.json", out / "images") if record.objects])
    same(boxes, persons(), 0.02)
    same(found, parts(), 0.02)
    out = write("yolo", tmp_path / "yolo", videos=video.parent)
    records = read_records("yolo", out / "data.yaml", out)
    assert [len(record.objects) for record in records] == [len(f.persons) + int(f.parts.visible.sum()) for f in PARSE.frames]


def test_key_frames_are_few(tmp_path: Path) -> None:
    xml = (write("cvat", tmp_path / "task") / "walk it.mp4.xml").read_text()
    boxes = sum(len(frame.persons) + int(frame.parts.visible.sum()) for frame in PARSE.frames)
    assert xml.count('outside="0"') < 0.6 * boxes


def test_cvat_read_by_datumaro(tmp_path: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    out = write("cvat", tmp_path / "task", tolerance_px=0.0)
    found = datumaro.Dataset.import_from(str(out / "walk it.mp4.xml"), "cvat")
    labels = [label.name for label in found.categories()[datumaro.AnnotationType.label]]
    assert labels == ["person", *VOCABULARY.parts]
    keys = {int(item.attributes["frame"]): item for item in found}
    assert set(keys) <= set(range(NUM_FRAMES))
    tracks = {box.attributes["track_id"] for item in keys.values() for box in item.annotations}
    seen = [int(f.parts.visible[row].sum()) for f in PARSE.frames[3:4] for row in range(3)]
    assert len(tracks) == 2 * (1 + 9) + 1 + seen[2]  # two followed persons with nine parts each, and one of a single frame


def test_coco_read_by_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    out = write("coco", tmp_path / "coco")
    coco = COCO(str(out / "annotations.json"))
    boxes, found, ids = defaultdict(list), defaultdict(list), defaultdict(list)
    for image in coco.loadImgs(coco.getImgIds()):
        assert (image["width"], image["height"], image["time_s"]) == (320, 240, image["frame_id"] / 10)
        for row in coco.loadAnns(coco.getAnnIds(image["id"])):
            x, y, w, h = row["bbox"]
            name = coco.cats[row["category_id"]]["name"]
            if name == "person":
                boxes[image["frame_id"]].append((x, y, x + w, y + h))
                ids[image["frame_id"]].append(row.get("track_id", -1))
            else:
                found[image["frame_id"]].append((name, x, y, x + w, y + h, *sorted(row["states"])))
                assert coco.anns[row["person_id"]]["category_id"] == 1
    same(boxes, persons(), 0.02)
    same(found, parts(), 0.02)
    assert [ids[frame.index] for frame in PARSE.frames] == [(frame.persons.track_ids).tolist() for frame in PARSE.frames]  # type: ignore[union-attr]


def test_coco_read_by_datumaro(video: Path, tmp_path: Path) -> None:
    """In the layout that it knows: subsets by the names of files and of folders of pictures."""
    datumaro = pytest.importorskip("datumaro")
    out = write("coco", tmp_path / "coco", videos=video.parent)
    (out / "annotations").mkdir()
    (out / "annotations.json").rename(out / "annotations/instances_train.json")
    (out / "images").rename(out / "train")
    (out / "images").mkdir()
    (out / "train").rename(out / "images/train")
    found = datumaro.Dataset.import_from(str(out), "coco")
    names = [label.name for label in found.categories()[datumaro.AnnotationType.label]]
    boxes, seen = defaultdict(list), defaultdict(list)
    for item in found:
        frame = int(item.id.removeprefix("walk it/img_")) - 1
        assert item.media.size == (240, 320)
        for box in item.annotations:
            rows, name = (boxes, ()) if names[box.label] == "person" else (seen, (names[box.label],))
            rows[frame].append((*name, *box.points))
    same(boxes, persons(), 0.02)
    same(seen, {frame: [row[:5] for row in rows] for frame, rows in parts().items()}, 0.02)


def test_ytvis(tmp_path: Path) -> None:
    document = json.loads(write("ytvis", tmp_path / "y.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    boxes, found = defaultdict(list), defaultdict(list)
    for row in document["annotations"]:
        for frame, box in enumerate(row["bboxes"]):
            if box and names[row["category_id"]] == "person":
                boxes[frame].append((box[0], box[1], box[0] + box[2], box[1] + box[3]))
            elif box:
                states = sorted(row["states"][frame])
                found[frame].append((names[row["category_id"]], box[0], box[1], box[0] + box[2], box[1] + box[3], *states))
    same(boxes, persons(), 0.02)
    same(found, parts(), 0.02)
    assert [row["track_id"] for row in document["annotations"] if row["category_id"] == 1] == [1, 5, None]


def test_mot_read_by_motmetrics_pandas_and_datumaro(tmp_path: Path) -> None:
    motmetrics, datumaro = pytest.importorskip("motmetrics"), pytest.importorskip("datumaro")
    out = write("mot", tmp_path / "mot")
    found = motmetrics.io.loadtxt(out / "results/walk it.txt", fmt="mot15-2D", min_confidence=-1)
    rows = [(int(frame) - 1, int(track)) for frame, track in found.index]
    expected = [(f.index, t) for f in PARSE.frames for t in f.persons.track_ids.tolist() if t >= 0]  # type: ignore[union-attr]
    assert sorted(rows) == sorted(expected)
    first = found.loc[(1, 1)]
    assert (first.X + 1, first.Y + 1, first.Width, first.Height, round(first.Confidence, 3)) == (10, 20, 100, 200.5, 0.9)
    items = {item.id: item for item in datumaro.Dataset.import_from(str(out / "sequences/walk it"), "mot_seq")}
    assert sum(len(item.annotations) for item in items.values()) == len(expected)
    assert (out / "sequences/walk it/det/det.txt").read_text().count("\n") == len(expected) + 1
    assert "frameRate=10\nseqLength=12\nimWidth=320" in (out / "sequences/walk it/seqinfo.ini").read_text()


def test_mot_results_are_scored_by_trackers(tmp_path: Path) -> None:
    from trackers.eval import evaluate_mot_sequences

    out = write("mot", tmp_path / "mot")
    found = evaluate_mot_sequences(gt_dir=out / "sequences", tracker_dir=out / "results", metrics=["CLEAR", "HOTA", "Identity"])
    assert found.aggregate.CLEAR.MOTA == found.aggregate.HOTA.HOTA == found.aggregate.Identity.IDF1 == 1


def test_ava_read_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    out = write("ava", tmp_path / "ava", step_s=0.5)
    table = pandas.read_csv(out / "ava.csv", header=None, names=["video", "second", "x1", "y1", "x2", "y2", "action", "person"])
    assert table.second.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert table.person.tolist() == [1, 5, 1, 1, 5]
    assert table.action.fillna(0).tolist() == [2, 0, 2, 1, 0]
    assert table.iloc[0][["x1", "y1", "x2", "y2"]].tolist() == pytest.approx([10 / 320, 20 / 240, 110 / 320, 220.5 / 240], abs=1e-4)
    assert 'name: "run"\n  id: 1\n' in (out / "actions.pbtxt").read_text()


def test_subtitles_read_by_their_parsers(tmp_path: Path) -> None:
    webvtt = pytest.importorskip("webvtt")
    hostile = replace(PARSE, actions=(replace(ACTIONS[0], label="a --> b\n\n<i>&c"), *ACTIONS[1:]))
    captions = webvtt.read(str(write("webvtt", tmp_path / "vtt", [hostile]) / "walk it.vtt"))
    assert [(c.start, c.end, c.voice) for c in captions] == [
        ("00:00:00.000", "00:00:00.500", "person 1"),
        ("00:00:00.000", "00:00:01.200", "video"),
        ("00:00:00.600", "00:00:01.100", "person 1"),
        ("00:00:00.600", "00:00:01.200", "video"),
    ]
    srt = pytest.importorskip("srt")  # has no wheel, so it is not among the locked packages
    found = list(srt.parse((write("srt", tmp_path / "srt", [hostile]) / "walk it.srt").read_text()))
    assert [(s.start.total_seconds(), s.end.total_seconds()) for s in found] == [(0, 0.5), (0, 1.2), (0.6, 1.1), (0.6, 1.2)]
    assert found[1].content == "video: a --> b <i>&c 0.75"


def test_rerun(tmp_path: Path) -> None:
    pytest.importorskip("rerun")
    file = write("rerun", tmp_path / "rrd") / "walk it.rrd"
    reader = importlib.import_module("rerun.chunk").RrdReader(file)
    paths = {chunk.entity_path for chunk in reader.stream()}
    assert {"/video/persons", "/video/parts", "/tracks/1/left_arm/raise", "/tracks/5/left_arm/raise"} <= paths


def test_fiftyone_read_by_its_own_reader_of_labels(video: Path, tmp_path: Path) -> None:
    """ETA is what FiftyOne reads this kind of data set by."""
    datasets = pytest.importorskip("eta.core.datasets", exc_type=ImportError)
    out = write("fiftyone", tmp_path / "set", videos=video.parent)
    (labels,) = datasets.load_dataset(str(out)).iter_labels()
    (path,) = datasets.load_dataset(str(out)).iter_data_paths()
    assert Path(path).read_bytes() == video.read_bytes()
    boxes, found, ids = defaultdict(list), defaultdict(list), defaultdict(list)
    for number in labels:
        assert labels[number].attrs.get_attr_values_with_name("time_s") == [(number - 1) / 10]
        for one in labels[number].objects:
            box = [side * of for side, of in zip(one.bounding_box.to_coords(), (320, 240) * 2, strict=True)]
            values = {attribute.name: attribute.value for attribute in one.attrs}
            if one.name == "persons":
                boxes[number - 1].append(tuple(box))
                ids[number - 1].append(-1 if one.index is None else one.index)
            else:
                held = sorted(filter(None, values.get("states", "").split(", ")))
                found[number - 1].append((one.label, *box, *held))
                assert held == sorted(name[6:] for name, value in values.items() if name != "states" and value >= 0.5)
    same(boxes, persons(), 0.02)
    same(found, parts(), 0.02)
    assert [ids[frame.index] for frame in PARSE.frames] == [frame.persons.track_ids.tolist() for frame in PARSE.frames]  # type: ignore[union-attr]
    assert [(event.name, event.label, event.confidence, event.support.limits) for event in labels.events] == [
        ("actions", "walk", 0.75, (1, 12)), ("actions", "run", 0.5, (7, 12)),
        ("track_actions", "walk", 0.875, (1, 6)), ("track_actions", "run", 0.625, (7, 12)),
    ]  # fmt: skip


def test_fiftyone(tmp_path: Path) -> None:
    """The names and kinds of the format, by hand."""
    out = write("fiftyone", tmp_path / "set")
    assert json.loads((out / "manifest.json").read_text())["index"] == [{"data": "data/walk it.mp4", "labels": "labels/walk it.mp4.json"}]
    document = json.loads((out / "labels/walk it.mp4.json").read_text())
    assert list(document["frames"]) == [str(i) for i in range(1, NUM_FRAMES + 1)]
    person, arm, *_ = document["frames"]["1"]["objects"]["objects"]
    assert (person["label"], person["name"], person["index"], person["confidence"]) == ("person", "persons", 1, 0.9)
    assert person["bounding_box"] == {"top_left": {"x": 0.03125, "y": 0.083333}, "bottom_right": {"x": 0.34375, "y": 0.91875}}
    assert (arm["label"], arm["name"], arm["index"]) == (VOCABULARY.parts[0], "parts", 1)
    assert {row["type"] for row in arm["attrs"]["attrs"]} <= {f"eta.core.data.{kind}Attribute" for kind in ("Numeric", "Categorical")}
    assert document["frames"][str(NUM_FRAMES)]["objects"] == {"objects": []}
    assert [event["support"]["ranges"] for event in document["events"]["events"]] == ["1-12", "7-12", "1-6", "7-12"]
    assert field_name("a.b$c") == "a_b_c"


def test_activitynet(tmp_path: Path) -> None:
    document = json.loads(write("activitynet", tmp_path / "a.json").read_text())
    assert document["results"]["walk it"][:2] == [
        {"label": "walk", "score": 0.75, "segment": [0.0, 1.2]},
        {"label": "run", "score": 0.5, "segment": [0.6, 1.2]},
    ]
    assert document["results"]["walk it"][2]["track_id"] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_tables_of_several_parses(tmp_path: Path, kind: str) -> None:
    pandas, polars, duckdb = (pytest.importorskip(name) for name in ("pandas", "polars", "duckdb"))
    other = replace(PARSE, facts=replace(FACTS, name="b.mp4"))
    out = write("table", tmp_path / "tables", [PARSE, other], format=kind)
    read = {"csv": pandas.read_csv, "parquet": pandas.read_parquet, "arrow": lambda path: polars.read_ipc(path).to_pandas()}[kind]
    rows = sum(len(frame.persons) for frame in PARSE.frames) * len(VOCABULARY.parts)
    for name, count in (("parts", 2 * rows), ("videos", 2), ("tracks", 4), ("actions", 8)):
        assert len(read(out / f"{name}.{kind}")) == count
    if kind != "arrow":
        query = f"SELECT video, count(*) FROM '{out / f'parts.{kind}'}' GROUP BY video ORDER BY video"
        assert duckdb.sql(query).fetchall() == [("b.mp4", rows), ("walk it.mp4", rows)]
    intervals = read(out / f"state_intervals.{kind}")
    assert len(intervals) == 2 * len(PARSE.state_intervals())


FORMATS = [name for name in EXPORTERS if name not in ("kinetics-tps", "tinyvirat")]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("frames", [(), (frame_parse(0, []), frame_parse(1, []))])
def test_a_parse_without_people(tmp_path: Path, name: str, frames: Any) -> None:
    if name == "rerun":
        pytest.importorskip("rerun")
    empty = replace(PARSE, frames=frames, actions=(), track_actions={})
    out = write(name, tmp_path / "out", [empty])
    assert out.exists()

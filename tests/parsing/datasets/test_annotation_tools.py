"""Parts and states of one's own, from CSV, CVAT and Label Studio, and from COCO files that name no person."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import write_video

from parsing.datasets import Format, Problems, read_records
from parsing.datasets.records import ImageRecord, part_vocabulary
from parsing.datasets.regions import containing, turned_box
from parsing.datasets.tracks import KeyBox, boxes_between
from parsing.vocabulary import Vocabulary
from pipelines import inspect_data

FRAMES = [np.full((96, 128, 3), 30 * number, np.uint8) for number in range(6)]
Found = list[tuple[list[float], list[tuple[str, list[float], dict[str, bool]]]]]

HEADER = "image,person_box,part,box,states"
CSV = f"""{HEADER}
a.png,10 10 60 90,left_glove,12 40 22 50,fist
a.png,10 10 60 90,helmet,30 10 44 22,
a.png,70 10 120 90,left_glove,72 40 82 50,open
b.png,10 10 60 90,left_glove,12 40 22 50,?
b.png,70 10 120 90,,,
c.png,,,,
"""
META = """<meta><task><source>v.mp4</source><labels>
<label><name>person</name><attributes/></label>
<label><name>helmet</name><attributes><attribute><name>worn</name><input_type>checkbox</input_type><values></values></attribute></attributes></label>
<label><name>left_glove</name><attributes><attribute><name>grip</name><input_type>select</input_type>
<values>__undefined__
fist
open</values></attribute><attribute><name>remark</name><input_type>text</input_type><values></values></attribute></attributes></label>
</labels></task></meta>"""


def box(label: str, xyxy: str, inside: str = "", **more: str) -> str:
    """A CVAT box."""
    values = dict(zip(("xtl", "ytl", "xbr", "ybr"), xyxy.split(), strict=True)) | more
    return f'<box label="{label}" {" ".join(f"{key}={json.dumps(value)}" for key, value in values.items())}>{inside}</box>'


def attribute(name: str, value: str) -> str:
    return f'<attribute name="{name}">{value}</attribute>'


CVAT = f"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{META}
<image id="0" name="a.png" width="128" height="96">
{box("person", "10 10 60 90")}{box("person", "70 10 120 90")}
{box("left_glove", "12 40 22 50", attribute("grip", "fist") + attribute("remark", "x"))}
{box("helmet", "30 10 44 22", attribute("worn", "false"))}
{box("left_glove", "72 40 82 50", attribute("grip", "open"))}</image>
<image id="1" name="b.png" width="128" height="96">
{box("person", "10 10 60 90")}{box("left_glove", "12 40 22 50", attribute("grip", "__undefined__"))}{box("person", "70 10 120 90")}</image>
<image id="2" name="c.png" width="128" height="96"></image></annotations>"""


def rectangle(key: str, label: str, x: float, y: float, w: float, h: float, **more: Any) -> dict[str, Any]:
    """A region of Label Studio on a picture of 128 x 96 px, in px."""
    value = {"x": x / 1.28, "y": y / 0.96, "width": w / 1.28, "height": h / 0.96, "rotation": 0, "rectanglelabels": [label]}
    return {"id": key, "type": "rectanglelabels", "value": value, "original_width": 128, "original_height": 96} | more


def choices(key: str, *names: str) -> dict[str, Any]:
    return {"id": key, "type": "choices", "value": {"choices": list(names)}}


def task(image: str, *result: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "annotations": [{"result": list(result), "was_cancelled": False}]} | more


LABEL_STUDIO = [
    task(
        "/data/upload/3/0a1b2c3d-a.png",
        rectangle("p", "person", 10, 10, 50, 80),
        rectangle("q", "person", 70, 10, 50, 80),
        rectangle("g", "left_glove", 12, 40, 10, 10),
        choices("g", "fist"),
        rectangle("h", "helmet", 30, 10, 14, 12),
        choices("h"),
        rectangle("o", "left_glove", 72, 40, 10, 10),
        choices("o", "open"),
    ),
    task(
        "/data/local-files/?d=set%2Fb.png",
        rectangle("p", "person", 10, 10, 50, 80),
        rectangle("g", "left_glove", 12, 40, 10, 10, parentID="p"),
        rectangle("q", "person", 70, 10, 50, 80),
    ),
    task("c.png"),
]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abc":
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros((96, 128, 3), np.uint8))
    return folder


def written(folder: Path, kind: Format, content: Any) -> Path:
    path = folder / {"cvat": "annotations.xml", "parts_csv": "parts.csv"}.get(kind, "export.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def found(records: list[ImageRecord]) -> list[Found]:
    return [
        [
            (person.xyxy.round(3).tolist(), sorted((part.name, part.xyxy.round(3).tolist(), dict(part.states)) for part in person.parts))
            for person in record.persons
        ]
        for record in records
    ]


@pytest.mark.parametrize(("kind", "content"), [("parts_csv", CSV), ("cvat", CVAT), ("label_studio", LABEL_STUDIO)])
def test_tools_say_the_same_of_the_same_pictures(kind: Format, content: Any, images: Path) -> None:
    problems = Problems()
    records = read_records(kind, written(images.parent, kind, content), images, problems)
    worn = {"worn": False} if kind == "cvat" else {}  # the others do not know what they have never seen
    assert found(records) == [
        [
            ([10, 10, 60, 90], [("helmet", [30, 10, 44, 22], worn), ("left_glove", [12, 40, 22, 50], {"fist": True, "open": False})]),
            ([70, 10, 120, 90], [("left_glove", [72, 40, 82, 50], {"fist": False, "open": True})]),
        ],
        [([10, 10, 60, 90], [("left_glove", [12, 40, 22, 50], {})]), ([70, 10, 120, 90], [])],
        [],
    ]
    assert (problems.found, problems.notes) == ([], [])
    rows = (tuple(worn), ("fist", "open"))
    assert part_vocabulary(records, "own", (), None) == Vocabulary("own", ("helmet", "left_glove"), (*rows[1], *rows[0]), rows, ())


def test_what_was_read_is_shown(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(images.parent, "cvat", CVAT)
    order = [str(path), "--format", "cvat", "--images", str(images), "--quiet"]
    assert inspect_data.main(inspect_data.build_parser().parse_args(order)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"images    3, without any object 1", "class     person: 4", "part      left_glove: 3", "part      helmet: 1"} <= set(lines)
    assert {"state     left_glove/fist: 1 of 2", "state     left_glove/open: 1 of 2", "state     helmet/worn: 0 of 1"} <= set(lines)


def test_groups_and_relations_name_the_person(images: Path) -> None:
    """Two persons at the same place: no box tells whose the helmet is."""
    persons = box("person", "10 10 60 90", group_id="1") + box("person", "10 10 60 90", group_id="2")
    helmet = box("helmet", "30 10 44 22", group_id="2")
    picture = f'<annotations><image id="0" name="a.png">{persons}{helmet}</image></annotations>'
    related = [rectangle(key, "person", 10, 10, 50, 80) for key in "pq"] + [rectangle("h", "helmet", 30, 10, 14, 12)]
    relation = {"type": "relation", "from_id": "q", "to_id": "h"}
    for kind, content in {"cvat": picture, "label_studio": [task("a.png", *related, relation)]}.items():
        (people,) = found(read_records(kind, written(images.parent, kind, content), images))  # type: ignore[arg-type]
        assert [[name for name, _, _ in parts] for _, parts in people] == [[], ["helmet"]]


def test_boxes_that_are_marked_as_a_crowd_are_not_judged(images: Path) -> None:
    many = box("person", "10 10 60 90", attribute("is_crowd", "true")) + box("person", "70 10 120 90", attribute("is_crowd", "false"))
    regions = [rectangle("p", "person", 10, 10, 50, 80), choices("p", "is_crowd"), rectangle("q", "person", 70, 10, 50, 80)]
    picture = f'<annotations><image id="0" name="a.png">{many}</image></annotations>'
    for kind, content in {"cvat": picture, "label_studio": [task("a.png", *regions)]}.items():
        for written_as in (content, json.loads(json.dumps(content).replace("person", "helmet"))):  # objects as well as persons
            (record,) = read_records(kind, written(images.parent, kind, written_as), images)  # type: ignore[arg-type]
            assert [item.crowd for item in record.objects] == [True, False]


def test_a_part_that_two_persons_hold_alike_is_named_and_ignored_in_both(images: Path) -> None:
    problems = Problems()
    content = f"{HEADER}\n" + "a.png,10 10 60 90,,,\na.png,20 10 70 90,,,\n"
    picture = (
        f'<annotations><image id="0" name="a.png">{box("person", "10 10 60 90")}{box("person", "20 10 70 90")}{{}}</image></annotations>'
    )
    path = written(images.parent, "cvat", picture.format(box("helmet", "30 10 44 22")))
    (record,) = read_records("cvat", path, images, problems)
    assert [[part.ignored for part in person.parts] for person in record.persons] == [[True], [True]]
    assert problems.notes == [f"{path}: a.png: box 2: helmet lies in 2 persons alike, so it is ignored in them"]
    assert len(read_records("parts_csv", written(images.parent, "parts_csv", content), images)[0].persons) == 2
    people = [np.array(row, float) for row in ((10, 10, 60, 90), (20, 10, 70, 90))]
    assert containing(np.array([12.0, 40, 28, 50]), people) == [0]  # all of it, and half of it
    assert containing(np.array([0.0, 0, 12, 12]), people) == []
    assert containing(np.array([0.0, 0, 12, 12]), []) == []


def test_turned_boxes_become_upright_ones_and_other_shapes_are_noted(images: Path) -> None:
    assert np.allclose(turned_box((0, 0, 4, 2), 90, (2, 1)), [1, -1, 3, 3])
    assert np.allclose(turned_box((0, 0, 4, 2), 90, (0, 0)), [-2, 0, 0, 4])  # clockwise, as y points down
    shapes = box("person", "40 20 80 40", rotation="90.0") + '<polygon label="person" points="1,1;2,2;3,1"/>'
    turned = rectangle("p", "person", 40, 20, 20, 10)
    turned["value"]["rotation"] = 90
    for kind, content, expected in (
        ("cvat", f'<annotations><image id="0" name="a.png">{shapes}</image></annotations>', [50, 10, 70, 50]),
        ("label_studio", [task("a.png", turned, {"id": "k", "type": "brushlabels", "value": {}})], [30, 20, 40, 40]),
    ):
        problems = Problems()
        (record,) = read_records(kind, written(images.parent, kind, content), images, problems)  # type: ignore[arg-type]
        assert np.allclose(record.persons[0].xyxy, expected)
        assert any("1 turned boxes, taken as the upright boxes" in note for note in problems.notes)
        assert any("passed over" in note for note in problems.notes)


def test_boxes_move_evenly_between_key_frames() -> None:
    keys = [
        KeyBox(4, (40, 0, 50, 10)),
        KeyBox(0, (0, 0, 10, 10), states={"up": True}),
        KeyBox(5, (40, 0, 50, 10), False),
        KeyBox(8, (0, 8, 9, 9)),
    ]
    boxes = boxes_between(keys, range(9))
    assert [(key.frame, list(key.xyxy)) for key in boxes] == [
        (0, [0, 0, 10, 10]),
        (1, [10, 0, 20, 10]),
        (2, [20, 0, 30, 10]),
        (3, [30, 0, 40, 10]),
        (4, [40, 0, 50, 10]),
        (8, [0, 8, 9, 9]),
    ]
    assert [key.states for key in boxes[:5]] == [{"up": True}] * 4 + [{}]
    assert [key.frame for key in boxes_between(keys, range(0, 9, 2))] == [0, 2, 4, 8]
    with pytest.raises(ValueError, match="two boxes at frame 0"):
        boxes_between([keys[1], keys[1]], range(9))
    with pytest.raises(ValueError, match="a box at frame 8, but the video has 8 frames"):
        boxes_between(keys, range(8))


def of_frame(number: int, xyxy: str, inside: str = "", **more: str) -> str:
    return box("", xyxy, inside, frame=str(number), **more).replace('label="" ', "")


@pytest.mark.parametrize("kind", ["cvat", "label_studio"])
def test_tracks_of_a_video_become_pictures_of_its_frames(kind: Format, images: Path) -> None:
    """A person over six frames, and a glove that moves by 4 px a frame until frame 2, and is away from frame 3 on."""
    write_video(images.parent / "v.mp4", FRAMES)
    person = of_frame(0, "10 10 60 90", keyframe="1", outside="0") + of_frame(5, "10 10 60 90", keyframe="1", outside="0")
    grip, away = attribute("grip", "fist"), of_frame(3, "20 40 30 50", keyframe="1", outside="1")
    glove = of_frame(0, "12 40 22 50", grip, outside="0") + of_frame(2, "20 40 30 50", grip, outside="0") + away
    cvat = f'<annotations>{META}<track id="0" label="person">{person}</track><track id="1" label="left_glove">{glove}</track></annotations>'

    def sequence(key: str, label: str, *boxes: dict[str, Any]) -> dict[str, Any]:
        return {"id": key, "type": "videorectangle", "value": {"framesCount": 6, "sequence": list(boxes), "labels": [label]}}

    def at(frame: int, x: float, y: float, w: float, h: float, enabled: bool) -> dict[str, Any]:
        return {"frame": frame, "x": x / 1.28, "y": y / 0.96, "width": w / 1.28, "height": h / 0.96, "rotation": 0, "enabled": enabled}

    studio = task(
        "",
        sequence("p", "person", at(1, 10, 10, 50, 80, True)),
        sequence("g", "left_glove", at(1, 12, 40, 10, 10, True), at(3, 20, 40, 10, 10, False)),
        choices("g", "fist"),
        data={"video": "/data/upload/1/0a1b2c3d-v.mp4"},
    )
    if kind == "label_studio":
        write_video(images / "v.mp4", FRAMES)
    records = read_records(kind, written(images.parent, kind, cvat if kind == "cvat" else [studio]), images)
    assert [record.path for record in records] == [images / "v" / f"img_{number:05d}.jpg" for number in range(1, 7)]
    people = found(records)
    assert [person for ((person, _),) in people] == [[10, 10, 60, 90]] * 6
    assert [[xyxy for _, xyxy, _ in parts] for ((_, parts),) in people] == [[[x, 40, x + 10, 50]] for x in (12, 16, 20)] + [[], [], []]
    assert all(states["fist"] for ((_, parts),) in people for _, _, states in parts)
    shown = [cv2.imread(str(record.path)).mean() for record in records]
    assert shown == sorted(shown)
    assert shown[-1] > shown[0] + 20
    for video in (images.parent / "v.mp4", images / "v.mp4"):
        video.unlink(missing_ok=True)  # the pictures are there now
    again = read_records(kind, written(images.parent, kind, cvat if kind == "cvat" else [studio]), images)
    assert found(again) == people


def test_every_second_frame_of_a_task(images: Path) -> None:
    write_video(images.parent / "v.mp4", FRAMES)
    meta = META.replace("<labels>", "<start_frame>1</start_frame><frame_filter>step=2</frame_filter><labels>")
    track = of_frame(1, "10 10 60 90", outside="0") + of_frame(5, "14 10 64 90", outside="0")
    path = written(images.parent, "cvat", f'<annotations>{meta}<track id="0" label="person">{track}</track></annotations>')
    assert found(read_records("cvat", path, images)) == [[([x, 10, x + 50, 90], [])] for x in (10, 12, 14)]


def test_frames_that_were_deleted_in_cvat_have_no_boxes(images: Path) -> None:
    """It writes the boxes between key frames too, and of a frame that was deleted none."""
    write_video(images.parent / "v.mp4", FRAMES)
    keys = {0: "1", 1: "0", 4: "1"}  # 2 and 3 were deleted
    track = "".join(of_frame(number, f"{10 + number} 10 60 90", keyframe=key, outside="0") for number, key in keys.items())
    path = written(images.parent, "cvat", f'<annotations>{META}<track id="0" label="person">{track}</track></annotations>')
    assert [record.path.stem for record in read_records("cvat", path, images)] == ["img_00001", "img_00002", "img_00005"]


def project(*tracks: str) -> str:
    """An export of a project: CVAT numbers the frames of a subset's tasks in one row, those of another from 0 again."""

    def of_task(number: int, subset: str, video: str, step: int, size: int) -> str:
        frames = f"<size>{size}</size><subset>{subset}</subset><start_frame>0</start_frame><frame_filter>step={step}</frame_filter>"
        return f"<task><id>{number}</id>{frames}<source>{video}</source></task>"

    tasks = of_task(3, "train", "v.mp4", 1, 6) + of_task(4, "train", "w.mp4", 2, 3) + of_task(9, "val", "x.mp4", 1, 6)
    labels = META.partition("<labels>")[2].partition("</labels>")[0]
    meta = f"<meta><project><id>1</id><tasks>{tasks}</tasks><labels>{labels}</labels></project></meta>"
    return f"<annotations>{meta}{''.join(tracks)}</annotations>"


def of_task(number: int, label: str, xyxy: str, *frames: int, group: str = "0") -> str:
    boxes = "".join(of_frame(frame, xyxy, keyframe="1", outside="0") for frame in frames)
    return f'<track id="{number}" label="{label}" task_id="{number}" subset="s" group_id="{group}">{boxes}</track>'


def test_tracks_of_a_project_belong_to_the_videos_of_their_tasks(images: Path) -> None:
    problems = Problems("skip", quiet=True)
    for name in "vwx":
        write_video(images.parent / f"{name}.mp4", FRAMES)
    glove = of_task(4, "left_glove", "90 40 99 50", 6, group="1")
    content = project(
        of_task(3, "person", "10 10 60 90", 0, 2),
        of_task(3, "left_glove", "12 40 22 50", 2, group="1"),  # a group of the other task has this number, too
        of_task(4, "person", "20 10 70 90", 6, 10, group="1"),
        glove,
        of_task(9, "person", "30 10 80 90", 5),
        of_task(7, "person", "30 10 80 90", 5),
    )
    records = read_records("cvat", written(images.parent, "cvat", content), images, problems)
    places = {str(record.path.relative_to(images)): found([record])[0] for record in records}
    assert {place: [person for person, _ in people] for place, people in places.items()} == {
        **{f"v/img_{number:05d}.jpg": [[10, 10, 60, 90]] for number in (1, 2, 3)},
        **{f"w/img_{number:05d}.jpg": [[20, 10, 70, 90]] for number in (1, 3, 5)},
        "x/img_00006.jpg": [[30, 10, 80, 90]],
    }
    assert [xyxy for _, xyxy, _ in places["v/img_00003.jpg"][0][1]] == [[12, 40, 22, 50]]
    assert [xyxy for _, xyxy, _ in places["w/img_00001.jpg"][0][1]] == [[90, 40, 99, 50]]
    assert "task_id '7'; the tasks of videos are 3, 4, 9" in str(problems.found)


def test_images_of_a_project_lie_in_folders_of_subsets(images: Path) -> None:
    (images / "train").mkdir()
    (images / "a.png").rename(images / "train" / "a.png")
    image = f'<image id="0" name="a.png" subset="train" task_id="3" width="128" height="96">{box("person", "10 10 60 90")}</image>'
    (record,) = read_records("cvat", written(images.parent, "cvat", f"<annotations>{image}</annotations>"), images)
    assert record.path == images / "train" / "a.png"


def test_coco_parts_without_a_person_go_to_the_one_whose_box_holds_them(images: Path) -> None:
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "glove", "parent": "person"}, {"id": 3, "name": "dog"}]
    rows = [[1, 10, 10, 50, 80], [1, 70, 10, 50, 80], [2, 72, 40, 10, 10], [2, 12, 40, 10, 10], [3, 12, 40, 10, 10]]
    annotations = [{"id": i, "image_id": 1, "category_id": row[0], "bbox": row[1:]} for i, row in enumerate(rows, 1)]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 128, "height": 96}],
        "annotations": annotations,
        "categories": categories,
    }
    path = written(images.parent, "coco", content)
    (record,) = read_records("coco", path, images)
    assert [(item.label, item.id, [part.xyxy.tolist() for part in item.parts]) for item in record.objects] == [
        ("person", 1, [[12, 40, 22, 50]]),
        ("person", 2, [[72, 40, 82, 50]]),
        ("dog", 5, []),
    ]
    annotations[3]["bbox"] = [0, 0, 5, 5]
    problems = Problems("skip", quiet=True)
    (record,) = read_records("coco", written(images.parent, "coco", content), images, problems)
    assert [len(item.parts) for item in record.objects] == [0, 1, 0]
    assert problems.found == [f"{path}: annotation 4: glove lies in no person's box"]

"""Exports of annotation tools that are not as they should be: what each fault must be told as."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import write_video

from parsing import InputError
from parsing.datasets import Problems, read_records

PERSON = '<box label="person" xtl="1" ytl="1" xbr="60" ybr="60"/>'
GLOVE = '<box label="glove" xtl="5" ytl="5" xbr="9" ybr="9">{}</box>'
LABELS = """<meta><task><source>v.mp4</source><labels><label><name>person</name></label><label><name>glove</name><attributes><attribute>
<name>grip</name><input_type>select</input_type><values>open
fist</values></attribute></attributes></label></labels></task></meta>"""
TRACK = '<track id="3" label="person">{}</track>'
AT = '<box frame="{}" outside="0" xtl="1" ytl="1" xbr="60" ybr="60"/>'
ENTITIES = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotations>&c;</annotations>'


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((64, 64, 3), np.uint8))
    write_video(folder / "v.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    return folder


def picture(*boxes: str, name: str = "a.png") -> str:
    return f'<annotations>{LABELS}<image id="0" name="{name}">{"".join(boxes)}</image></annotations>'


def video(*boxes: str, meta: str = LABELS) -> str:
    return f"<annotations>{meta}{TRACK.format(''.join(boxes))}</annotations>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not XML, or cut off"),
        (picture(PERSON)[:-9], "not XML, or cut off"),
        (ENTITIES, "declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "declares a document type"),
        ("<a>" * 200 + "</a>" * 200, "nests deeper than 100"),
        ('<?xml version="1.0" encoding="klingon"?><annotations/>', "not XML"),
        ("<annotations/>", "expected <annotations> with <image> or <track>"),
        ("<html><image/></html>", "expected <annotations> with <image> or <track>"),
        (picture(PERSON, GLOVE.replace("glove", "glvoe")), r"image a\.png: box 1: unknown label 'glvoe'; did you mean 'glove'"),
        (picture(PERSON, GLOVE.format('<attribute name="grip">first</attribute>')), "grip: 'first'; did you mean 'fist'"),
        (picture(PERSON, GLOVE.replace('xbr="9"', 'xbr="5"')), "box x1, y1, x2, y2 = .* has no area"),
        (picture(PERSON, GLOVE.replace('xbr="9"', 'xbr="nan"')), "is not finite"),
        (picture(PERSON, GLOVE.replace('xbr="9"', "")), "lacks 'xbr'"),
        (picture(PERSON, GLOVE, GLOVE), "a second glove of one person"),
        (picture(GLOVE, PERSON.replace('"1"', '"30"')), "glove lies in no person's box"),
        (picture(PERSON, name="none.png"), r"none\.png.*not found"),
        (picture(PERSON, name=""), "file name '', expected a text"),
        (video(AT.format(0), AT.format(0)), "track 3: two boxes at frame 0"),
        (video(AT.format(0), AT.format(3)), "track 3: a box at frame 3, but the video has 3 frames"),
        (video(AT.format(10**12)), "a box at frame 1000000000000, but"),
        (video(AT.format("x")), "track 3: invalid literal for int"),
        (video(AT.format(0).replace("frame", "time")), "track 3: lacks 'frame'"),
        (video(AT.format(0), meta=LABELS.replace("v.mp4", "w.mp4")), r"w\.mp4: video not found, nor pictures"),
        (video(AT.format(0), meta=LABELS.replace("v.mp4", "../v.mp4")), r"'\.\./v\.mp4': expected the name of a video, below"),
        (video(AT.format(0), meta=LABELS.replace("v.mp4", "/elsewhere/v.mp4")), "'/elsewhere/v.mp4': expected the name of a video, below"),
        (video(AT.format(0), meta="<meta/>"), "tracks of no video, expected a <source> in <meta>"),
        (
            video(AT.format(0), meta=LABELS.replace("<labels>", "<frame_filter>step=0</frame_filter><labels>")),
            "frame_filter, expected whole",
        ),
    ],
)
def test_cvat(text: str, message: str, images: Path) -> None:
    check("cvat", images.parent / "annotations.xml", text, message, images)


def region(**value: Any) -> dict[str, Any]:
    box = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0, "rectanglelabels": ["person"]}
    return {"id": "r", "type": "rectanglelabels", "value": box | value}


def sequence(*boxes: Any, **more: Any) -> dict[str, Any]:
    value = {"sequence": [{"x": 1, "y": 1, "width": 9, "height": 9, "enabled": True, **box} for box in boxes], "labels": ["person"], **more}
    return {"id": "r", "type": "videorectangle", "value": value}


def tasks(*result: Any, **data: Any) -> list[dict[str, Any]]:
    return [{"id": 5, "data": data or {"image": "a.png"}, "annotations": [{"result": list(result)}]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "expected a list of tasks with 'data'"),
        ([{"image": "a.png", "label": []}], "the export 'JSON', not 'JSON-MIN'"),
        ([{"id": 5, "data": {}, "annotations": [{"result": []}]}], "task 5: data: expected an 'image' or a 'video'"),
        ([{"id": 5, "data": {"image": "a.png"}, "annotations": [{"result": "x"}]}], "task 5: result 'x', expected a list"),
        ([{"id": 5, "data": {"image": "a.png"}, "annotations": ["x"]}], "task 5: 'str' object has no attribute"),
        (tasks(region(), image="none.png"), r"task 5: .*none\.png: image not found"),
        (tasks(region(rectanglelabels=[])), "task 5: region r: no label"),
        (tasks(region(x="left")), "task 5: region r: could not convert string to float"),
        (tasks(region(x=None)), "task 5: region r: float"),
        (tasks(region(rectanglelabels="person")), "task 5: 'person', expected a list of names"),
        (tasks(region(), {"id": "r", "type": "choices", "value": {"choices": [{}]}}), r"task 5: \[\{\}\], expected a list of names"),
        (tasks(region(rotation=float("inf"))), "math domain error"),
        (tasks(sequence({"frame": float("inf")}), video="v.mp4"), "region r: cannot convert float infinity"),
        (tasks(sequence({"frame": 1}, framesCount=float("inf")), video="v.mp4"), "region r: cannot convert float infinity"),
        (tasks(region(width=0)), "has no area"),
        (tasks(region(x=float("inf"))), "is not finite"),
        (tasks({"id": "r", "type": "choices", "value": {}}), "task 5: lacks 'choices'"),
        (tasks({"type": "rectangle", "value": {}}), "task 5: lacks 'id'"),
        (tasks(sequence({"frame": 4}), video="v.mp4"), "region r: a box at frame 3, but the video has 3 frames"),
        (tasks(sequence({"frame": 0}), video="v.mp4"), "region r: a box at frame -1, but"),
        (tasks(sequence({"frame": 1}), video="w.mp4"), r"task 5: .*w\.mp4: video not found"),
        (tasks(sequence({"time": 1}), video="v.mp4"), "region r: lacks 'frame'"),
    ],
)
def test_label_studio(value: Any, message: str, images: Path) -> None:
    check("label_studio", images.parent / "export.json", json.dumps(value), message, images)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,part,box,states", "a.png,glove,1 1 9 9,"], "column 'person_box' is missing"),
        (["a.png,1 1 60,glove,1 1 9 9,"], "line 2: box '1 1 60', expected x1 y1 x2 y2"),
        (["a.png,1 1 60 60,glove,1 1 9 x,"], "line 2: could not convert"),
        (["a.png,1 1 60 60,glove,,open"], "line 2: expected a person_box alone, or with a part and its box"),
        (["a.png,,glove,1 1 9 9,"], "line 2: expected a person_box alone"),
        ([",1 1 60 60,,,"], "line 2: file name '', expected"),
        (["a.png,1 1 60 60,glove,1 1 9 9,,,"], "line 2: expected image, person_box, part, box, states"),
        (["a.png,1 1 60 60,glove,1 1 9 9,", "a.png,1 1 60 60,glove,2 2 9 9,"], r"a\.png: line 3: a second glove"),
        (["a.png,70 1 90 60,,,"], "lies outside of its image"),
    ],
)
def test_parts_csv(lines: list[str], message: str, images: Path) -> None:
    header = [] if lines[0].startswith("image") else ["image,person_box,part,box,states"]
    check("parts_csv", images.parent / "parts.csv", "\n".join([*header, *lines]), message, images)


def check(kind: Any, path: Path, text: str, message: str, images: Path) -> None:
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_records(kind, path, images)
    assert str(images.parent) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tasks_without_a_result_and_further_annotators_are_noted(images: Path) -> None:
    cancelled = {"id": 6, "data": {"image": "b.png"}, "annotations": [{"result": [region()], "was_cancelled": True}]}
    twice = tasks(region())[0]
    twice["annotations"] *= 2
    path, problems = images.parent / "export.json", Problems()
    path.write_text(json.dumps([cancelled, {"id": 7, "data": {"image": "c.png"}, "predictions": []}, twice]))
    assert [record.id for record in read_records("label_studio", path, images, problems)] == ["a.png"]
    assert [note.partition(": ")[2] for note in problems.notes] == [
        "2 tasks without an annotation left out",
        "1 tasks with several annotations, of which the first counts",
    ]


def test_a_picture_that_lost_all_of_its_boxes_is_left_out(images: Path) -> None:
    path, problems = images.parent / "annotations.xml", Problems("skip", quiet=True)
    path.write_text(picture(PERSON.replace("60", "nan")))
    assert read_records("cvat", path, images, problems) == []
    assert len(problems.found) == 1
    assert problems.notes == [f"{path}: a.png: all of its annotations were left out, so the image is left out too"]

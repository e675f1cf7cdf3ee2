"""The script that plays the human who corrects persons."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree.ElementTree import fromstring

import cv2
import numpy as np
import pytest
from builders import VOCABULARY, frame_parse
from commands import script as load_script
from moving import FACTS

from parsing.datasets import read_records
from parsing.document import VideoParse
from parsing.errors import InputError

TRUTH = np.array([100, 20, 200, 180], np.float32)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("human_boxes")


def box(label: str, group: int, *sides: float) -> str:
    named = " ".join(f'{name}="{side}"' for name, side in zip(("xtl", "ytl", "xbr", "ybr"), sides, strict=True))
    return f'<box label="{label}" group_id="{group}" {named}/>'


CLOSE, WHOLE, FACE, OTHER = (100, 20, 190, 150), (60, 0, 240, 200), (120, 20, 160, 60), (0, 20, 80, 180)


def test_the_box_that_fits_best_is_moved_and_others_of_the_person_go_with_their_parts(script: ModuleType) -> None:
    boxes = [box("person", 1, *CLOSE), box("person", 2, *WHOLE), box("person", 3, *FACE), box("head", 3, *FACE), box("person", 4, *OTHER)]
    image = fromstring(f"<image>{''.join(boxes)}</image>")
    assert script.corrected(image, TRUTH) == {"moved": 1, "added": 0, "taken away": 2, "ignored": 1}
    left = [(one.get("group_id"), float(one.attrib["xbr"]), one.findtext("attribute")) for one in image]
    assert left == [("1", 200, None), ("4", 80, "true")]


def test_a_person_whom_nobody_found_is_added(script: ModuleType) -> None:
    for others, ignored in (([], 0), ([box("person", 7, *OTHER)], 1)):
        image = fromstring(f"<image>{''.join(others)}</image>")
        assert script.corrected(image, TRUTH) == {"moved": 0, "added": 1, "taken away": 0, "ignored": ignored}
        assert image[-1].attrib["group_id"] == str(7 * ignored + 1)


def run(script: ModuleType, *words: object) -> None:
    assert script.main(script.build_parser().parse_args([str(word) for word in words])) == 0


def test_clips_of_a_source_stay_on_one_side(script: ModuleType, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    rows = ["pour/a_1.mp4,pour,val,1", "pour/a_2.mp4,pour,val,1", "pour/b.mp4,pour,val,2", "sit/c.mp4,sit,val,1", "sit/d.mp4,sit,train,2"]
    (data / "labels.csv").write_text("\n".join(["file,label,split,source_video", *rows]))
    for row in rows:
        (data / row.partition("/")[0]).mkdir(exist_ok=True)
        (data / row.partition(",")[0]).write_text(row)
    run(script, "split", data, "--out", tmp_path / "clips")
    halves = {half: sorted(path.name for path in (tmp_path / "clips" / half).iterdir()) for half in ("train", "val")}
    assert halves == {"train": ["a_1.mp4", "a_2.mp4"], "val": ["b.mp4", "c.mp4"]}
    with pytest.raises(InputError, match="no validation clip of dance"):
        run(script, "split", data, "--actions", "pour", "dance", "--out", tmp_path / "other")


def test_a_task_is_corrected_and_pictures_without_a_box_are_left_out(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("file,frame,x1,y1,x2,y2\npour/a.mp4,4,100,20,200,180\n")
    task = tmp_path / "annotations.xml"
    order = ["correct", task, "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "corrected.xml"]
    pictures = [f'<image name="a/img_0000{number}.jpg">{box("person", 1, *OTHER)}</image>' for number in (9, 6)]  # frames 8 and 5
    task.write_text(f"<annotations>{pictures[0]}</annotations>")
    with pytest.raises(InputError, match="no box of any picture of"):
        run(script, *order)
    task.write_text(f"<annotations>{''.join(pictures)}</annotations>")
    run(script, *order)
    cv2.imwrite(str(tmp_path / "img_00006.jpg"), np.zeros((240, 320, 3), np.uint8))
    (tmp_path / "a").mkdir()
    (tmp_path / "img_00006.jpg").rename(tmp_path / "a/img_00006.jpg")
    (record,) = read_records("cvat", tmp_path / "corrected.xml", tmp_path)
    assert [(person.xyxy.tolist(), person.crowd) for person in record.persons] == [(list(OTHER), True), (TRUTH.tolist(), False)]


def test_a_person_is_found_where_a_box_of_the_parse_overlaps_it_by_half(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boxes.csv").write_text("file,frame,x1,y1,x2,y2\n" + "".join(f"pour/a.mp4,{i},100,20,200,180\n" for i in range(3)))
    (tmp_path / "labels.csv").write_text("file,label,source_video\npour/a.mp4,pour,1\n")
    for name, shown in (("before", (CLOSE, FACE, None)), ("after", (CLOSE, WHOLE, None))):
        frames = tuple(frame_parse(i, [] if one is None else [list(one)], [] if one is None else [1]) for i, one in enumerate(shown))
        (tmp_path / name).mkdir()
        facts = replace(FACTS, name="a.mp4", frames_decoded=3)
        VideoParse(facts, VOCABULARY, (), frames, (), True).save(tmp_path / name / "a.mp4.json")
    run(script, "found", tmp_path / "before", tmp_path / "before", "--boxes", tmp_path / "boxes.csv")
    printed = capsys.readouterr().out
    assert "| all | 1 | 3 | 0.333 | 0.333 |" in printed
    assert "+0.000, with sources drawn anew +0.000 to +0.000; of 1 sources 0 are better, 0 worse" in printed
    assert script.spread([np.array([True, False])], [np.array([True, True])]).startswith("+0.500, with sources drawn anew +0.500 to +0.500")
    (tmp_path / "none").mkdir()
    VideoParse(FACTS, VOCABULARY, (), (), (), True).save(tmp_path / "none/p.json")
    with pytest.raises(InputError, match="no parse of a clip"):
        run(script, "found", tmp_path / "none", "--boxes", tmp_path / "boxes.csv")

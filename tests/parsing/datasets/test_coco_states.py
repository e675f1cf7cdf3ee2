"""States of parts in COCO files: the format, what is refused, and the tables that part states are trained on."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import box_around, skeleton

from parsing import PART_NAMES, InputError
from parsing.datasets import read_coco
from parsing.datasets.coco import read_part_vocabulary
from parsing.datasets.records import ObjectRecord, PartRecord, true_states
from parsing.datasets.writing import write_coco
from parsing.pose import STATE_NAMES, part_states
from parsing.recorded.stages import Recordings
from parsing.states.sources import ImageStates, StateDataConfig
from parsing.types import Frame

CATEGORIES: list[dict[str, Any]] = [
    {"id": 1, "name": "person"},
    {"id": 2, "name": "left_glove", "states": ["open", "fist"]},
    {"id": 3, "name": "torso"},
    {"id": 4, "name": "right_glove", "states": ["open", "fist", "hidden"]},
    {"id": 5, "name": "car"},
]


def write_file(root: Path, *states: object, categories: object = CATEGORIES) -> Path:
    """One person with a torso and two gloves; `states` are those of the left and the right glove, None for no such key."""
    parts = [(2, [10, 20, 5, 5]), (3, [20, 20, 20, 30]), (4, [50, 20, 5, 5])]
    rows: list[dict[str, Any]] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 60, 80]}]
    rows += [{"id": i, "image_id": 1, "category_id": c, "bbox": box, "person_id": 1} for i, (c, box) in enumerate(parts, 2)]
    rows.append({"id": 9, "image_id": 1, "category_id": 5, "bbox": [60, 0, 20, 20]})
    for row, value in zip((rows[1], rows[3]), states, strict=False):
        row |= {} if value is None else {"states": value}
    image = {"id": 1, "file_name": "a.png", "width": 100, "height": 100, "action": "swing"}
    path = root / "annotations_train.json"
    path.write_text(json.dumps({"images": [image], "annotations": rows, "categories": categories}))
    return path


def test_an_annotation_names_the_states_that_hold_among_those_of_its_category(tmp_path: Path) -> None:
    (record,) = read_coco(write_file(tmp_path, ["fist"], []), tmp_path)
    left, torso, right = record.persons[0].parts
    assert left.states == {"open": False, "fist": True}
    assert right.states == {"open": False, "fist": False, "hidden": False}
    assert torso.states == {}
    (record,) = read_coco(write_file(tmp_path, None, ["hidden", "fist"]), tmp_path)
    left, _, right = record.persons[0].parts
    assert left.states == {}  # nothing is known of it
    assert right.states == {"open": False, "fist": True, "hidden": True}


def test_the_vocabulary_of_a_file_is_that_of_its_categories(tmp_path: Path) -> None:
    vocabulary = read_part_vocabulary(write_file(tmp_path, ["fist"]), "gloves", ("swing",), None)
    assert vocabulary is not None
    assert vocabulary.parts == ("left_glove", "torso", "right_glove")  # a car is nobody's part
    assert vocabulary.states == ("open", "fist", "hidden")
    assert vocabulary.allowed.tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert vocabulary.pairs == (("left_glove", "right_glove"),)
    stateless = [{"id": row["id"], "name": row["name"]} for row in CATEGORIES]
    assert read_part_vocabulary(write_file(tmp_path, categories=stateless), "gloves", (), None) is None
    with pytest.raises(InputError, match=r"annotations_train\.json: pairs: 'hat' is not among the names"):
        read_part_vocabulary(write_file(tmp_path), "gloves", (), (("torso", "hat"),))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (["fits"], r"annotation 2: state 'fits' of left_glove; did you mean 'fist'"),
        ("fist", "expected a list of names, each once"),
        ([1], "expected a list of names, each once"),
        (["fist", "fist"], "expected a list of names, each once"),
        ({"fist": True}, "expected a list of names, each once"),
    ],
)
def test_states_that_do_not_fit_are_named(tmp_path: Path, states: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_coco(write_file(tmp_path, states), tmp_path)


@pytest.mark.parametrize("states", ["fist", None, [1], [""], ["fist", "fist"], {"fist": 1}])
def test_categories_whose_states_are_no_list_of_names(tmp_path: Path, states: object) -> None:
    path = write_file(tmp_path, categories=[*CATEGORIES[:2], {**CATEGORIES[2], "states": states}, *CATEGORIES[3:]])
    with pytest.raises(InputError, match=r"category 'torso': states .*, expected a list of names, each once"):
        read_coco(path, tmp_path)


def test_written_states_are_read_again(tmp_path: Path) -> None:
    records = read_coco(write_file(tmp_path, ["fist"], []), tmp_path)
    write_coco(records, tmp_path / "again.json", tmp_path, {})
    (again,) = read_coco(tmp_path / "again.json", tmp_path)
    assert {part.name: part.states for part in again.persons[0].parts} == {p.name: p.states for p in records[0].persons[0].parts}


def test_a_table_knows_what_the_file_says(tmp_path: Path) -> None:
    write_file(tmp_path, ["fist"])
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((100, 100, 3), np.uint8))
    data = StateDataConfig(images=ImageStates(str(tmp_path)), actions=("run", "swing"))
    vocabulary = data.vocabulary()
    table = data.table("train", vocabulary)
    assert table.boxes.tolist() == [[[10, 20, 15, 25], [20, 20, 40, 50], [50, 20, 55, 25]]]
    assert table.visible.all()
    assert table.holds.tolist() == [[[False, True, False], [False] * 3, [False] * 3]]
    assert table.known.tolist() == [[[True, True, False], [False] * 3, [False] * 3]]
    assert table.actions.tolist() == [1]
    write_file(tmp_path)  # now of no part a state is known
    with pytest.raises(InputError, match="no person with part states in the train split"):
        data.table("train", vocabulary)


def test_an_oracle_of_a_file_has_its_parts_and_states(tmp_path: Path) -> None:
    recordings = Recordings(write_file(tmp_path, ["fist"], ["hidden", "open"]))
    assert recordings.vocabulary.parts == ("left_glove", "torso", "right_glove")
    parse = recordings[Frame("a.png", 0, 0.0, np.zeros((100, 100, 3), np.uint8))]
    assert parse.parts.visible.all()
    assert parse.states.scores.tolist() == [[[0, 1, 0], [0, 0, 0], [1, 0, 1]]]


def test_given_states_win_over_those_by_rule() -> None:
    points = skeleton()
    box = box_around(points)
    holds, known = part_states(points, box)
    arm, bend = PART_NAMES.index("left_arm"), STATE_NAMES.index("bend")
    assert known[arm, bend]
    assert not holds[arm, bend]
    person = ObjectRecord(box, points, parts=(PartRecord("left_arm", box, states={"bend": True}),))
    told, sure = true_states(person, PART_NAMES, STATE_NAMES)
    assert told[arm, bend]
    told[arm, bend] = False
    assert np.array_equal(told, holds)
    assert np.array_equal(sure, known)
    # In another order, with names that the rules do not know.
    told, sure = true_states(person, ("cap", "left_arm"), ("worn", "unbend", "bend"))
    assert sure.tolist() == [[False] * 3, [False, True, True]]
    assert told.tolist() == [[False] * 3, [False, True, True]]

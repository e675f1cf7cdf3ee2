import json
from pathlib import Path

import numpy as np
import pytest
from builders import VOCABULARY, box_around, frame, frame_parse, only_persons, skeleton

from detectors import TRACKERS
from parsing.configs import resolve
from parsing.document import VideoParse
from parsing.errors import InputError
from parsing.recorded.stages import match_boxes
from parsing.stages import ActionRecognizer, PartDetector, PartStateRecognizer, PersonDetector, Tracker
from parsing.types import ActionWindow, Detections, VideoFacts
from parsing.writing import write_parse
from pipelines.stages import COMPONENTS

TRUTH = frame_parse(4, [[10, 20, 60, 120], [100, 30, 140, 90]], [5, 7])


@pytest.fixture
def parses(tmp_path: Path) -> str:
    facts = VideoFacts("a.mp4", 320, 240, 0, 10.0, 1.0, 5, 5, 0)
    windows = (ActionWindow(0, 2, np.array([0.25, 0.75])), ActionWindow(1, 3, np.array([0.875, 0.125])))
    write_parse(VideoParse(facts, VOCABULARY, (), (TRUTH,), (), True, action_windows=windows), tmp_path / "a.mp4.json")
    return str(tmp_path)


def replay(stage: str, recordings: str, **more: object):  # type: ignore[no-untyped-def]  # its type is the stage's protocol
    table = COMPONENTS.get(stage, TRACKERS)
    return resolve(table, {"name": "replay", "recordings": recordings, **more}, stage).build("cpu")


def test_every_stage_gives_back_what_was_saved(parses: str) -> None:
    detector: PersonDetector = replay("person_detector", parses)
    tracker: Tracker = replay("tracker", parses)
    part_detector: PartDetector = replay("part_detector", parses)
    part_states: PartStateRecognizer = replay("part_states", parses)
    recognizer: ActionRecognizer = replay("recognizer", parses)
    (persons,) = detector([frame(4)])
    assert persons.track_ids is None
    between, (_, tracked) = tracker([(frame(3), None), (frame(4), only_persons(4, persons))])
    assert between[1] is None
    assert tracked is not None
    assert tracked.persons.track_ids is not None
    assert tracked.persons.track_ids.tolist() == [5, 7]
    (parts,) = part_detector([frame(4)], [persons])
    assert parts.xyxy == pytest.approx(TRUTH.parts.xyxy)
    (states,) = part_states([frame(4)], [persons], [parts], None)
    assert states.scores == pytest.approx(TRUTH.states.scores * (TRUTH.states.scores >= 0.05), abs=1e-4)
    assert recognizer.indices(1).tolist() == [0]
    assert recognizer({0: frame(0)}, 1).probabilities.tolist() == [0.25, 0.75]
    assert recognizer.indices(21).tolist() == [0, 20]
    later = recognizer({0: frame(10), 20: frame(30)}, 21)  # from 1 to 3 s
    assert (later.probabilities.tolist(), later.holds.tolist()) == ([0.875, 0.125], [True, False])
    assert part_states.vocabulary == VOCABULARY


def test_other_persons_are_matched_by_overlap(parses: str) -> None:
    persons = Detections([[102, 31, 141, 92], [200, 200, 220, 220]], [0.5, 0.4], [0, 0])  # type: ignore[arg-type]
    (parts,) = replay("part_detector", parses)([frame(4)], [persons])
    assert parts.xyxy[0] == pytest.approx(TRUTH.parts.xyxy[1])
    assert not parts.visible[1].any()
    ((_, tracked),) = replay("tracker", parses)([(frame(4), only_persons(4, persons))])
    assert tracked.persons.track_ids.tolist() == [7, -1]


def test_matching_is_one_to_one() -> None:
    first = np.array([[0, 0, 10, 10], [1, 0, 11, 10]], np.float32)
    rows, columns = match_boxes(first, np.array([[1, 0, 11, 10]], np.float32))
    assert (rows.tolist(), columns.tolist()) == ([1], [0])


def test_what_was_not_recorded_is_named(parses: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds nothing for frame 3 of 'a\.mp4'"):
        replay("person_detector", parses)([frame(3)])
    with pytest.raises(InputError, match=r"holds no action of 'b\.mp4'"):
        replay("recognizer", parses)({0: frame(0, "b.mp4")}, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without a parse"):
        replay("tracker", str(tmp_path / "empty"))
    with pytest.raises(InputError, match="cannot be read"):
        replay("tracker", str(tmp_path / "none.json"))


def test_oracle_knows_parts_and_states_from_keypoints(tmp_path: Path) -> None:
    points, box = skeleton(), box_around(skeleton())
    person = {
        "image_id": 1, "bbox": [float(v) for v in (*box[:2], *(box[2:] - box[:2]))], "keypoints": [float(v) for v in points.ravel()],
    }  # fmt: skip
    images = [{"id": 1, "file_name": "i.jpg", "height": 240, "width": 320}]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps({"images": images, "annotations": [person]}))
    (persons,) = replay("person_detector", str(path))([frame(0, "i.jpg")])
    assert persons.xyxy[0] == pytest.approx(box)
    (parts,) = replay("part_detector", str(path))([frame(0, "i.jpg")], [persons])
    assert parts.visible.all()
    states = replay("part_states", str(path), actions=["run"])
    (scores,) = states([frame(0, "i.jpg")], [persons], [parts], None)
    hip = scores.scores[0, states.vocabulary.parts.index("hip")]
    assert hip[states.vocabulary.states.index("stand")] == 1
    assert hip.sum() == 1
    assert states.vocabulary.actions == ("run",)


def test_oracle_recognizer_reads_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label\nx/a.mp4,walk\n")
    recognizer = replay("recognizer", str(path), actions=["run", "walk"])
    assert recognizer({0: frame(0)}, 1).probabilities.tolist() == [0, 1]
    path.write_text("name\na\n")
    with pytest.raises(InputError, match=r"labels\.csv: not a CSV"):
        replay("recognizer", str(path), actions=["run"])

"""The score against a slow independent implementation of the official rules, and against cases worked by hand."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import plain_kinetics_tps as plain
import pytest

from parsing.datasets.kinetics_tps.columns import Columns
from parsing.datasets.kinetics_tps.results import Results, read_results, read_truth
from parsing.errors import InputError
from pipelines.benchmarks.kinetics_tps.metric import accuracy_curve, area, inclusive_ious, match_persons
from pipelines.benchmarks.kinetics_tps.score import evaluate

HERE = Path("truth.json"), Path("actions.json")


def report(true: Any, classes: Any, said: Any, guesses: Any, **options: Any) -> dict[str, Any]:
    return evaluate(Results(true, classes, *HERE), Results(said, guesses, Path("pred.json"), Path("vid.json")), **options)


def one(true_humans: Any, said_humans: Any, **options: Any) -> float:
    """PSC of one frame of one video."""
    frame = "img_00001.json"
    said = {"v": {} if said_humans is None else {frame: {"humans": said_humans}}}
    found = report({"v": {frame: {"humans": true_humans}}}, {"v": "run"}, said, {"v": "run"}, **options)
    return float(found["videos"]["v"]["psc"])


def person(box: Any, **parts: Any) -> dict[str, Any]:
    return {"box": box, "parts": {name: {"box": b, "verb": verb} for name, (b, verb) in parts.items()}}


BODY, ARM = [0, 0, 99, 99], [10, 10, 19, 19]


@pytest.mark.parametrize("seed", range(12))
def test_random_results_score_as_the_plain_rules_say(seed: int) -> None:
    true, actions, said, guesses = plain.random_results(seed, videos=6, frames=5, persons=4, proposals=1 if seed % 2 else 4)
    found = report(true, actions, said, guesses)
    assert found["score"] == pytest.approx(plain.score(true, actions, said, guesses), abs=1e-9)
    for video in true:
        assert found["videos"][video]["psc"] == plain.psc(true[video], said[video])  # to the bit: thresholds cut sharply


@pytest.mark.parametrize("step", [1, 30])  # on a coarse grid many overlaps are equal
def test_crowds_are_matched_by_the_hungarian_method(step: int) -> None:
    random, none = np.random.default_rng(step), np.zeros(0, np.int64)

    def crowd() -> Columns:
        frame_of = np.repeat(np.arange(400), random.integers(0, 5, 400))
        corner, sides = random.uniform(0, 60, (len(frame_of), 2)), random.uniform(30, 90, (len(frame_of), 2))
        boxes = np.round(np.hstack([corner, corner + sides]) / step) * step
        return Columns(frame_of, boxes.astype(np.float32), none, none, none, none, np.zeros((0, 4)), none)

    truth, found = crowd(), crowd()
    match = match_persons(truth, found, 400)
    for f in range(400):
        mine, theirs = np.flatnonzero(truth.frame_of == f), np.flatnonzero(found.frame_of == f)
        people = [[{"box": box.tolist()} for box in columns.boxes[rows]] for columns, rows in ((truth, mine), (found, theirs))]
        pairs = plain.matches(*people) if len(mine) and len(theirs) else {}
        assert match[mine].tolist() == [theirs[pairs[i]] if i in pairs else -1 for i in range(len(mine))]


def test_two_processes_give_what_one_gives() -> None:
    results = plain.random_results(3, videos=8, frames=3, persons=3)
    assert report(*results, workers=2) == report(*results, workers=1)


def test_a_perfect_prediction_scores_every_threshold() -> None:
    assert one([person(BODY, left_arm=(ARM, "bend"))], [person(BODY, left_arm=(ARM, "bend"))]) == 1
    _, curve = accuracy_curve(np.array([1.0]), np.array([True]))
    assert area(curve) == pytest.approx(0.9999)


def test_corners_are_inclusive_and_disjoint_boxes_have_minus_one() -> None:
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [0, 0, 0, 0]], np.float32)
    others = np.array([[9, 9, 18, 18], [10, 0, 19, 9], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(inclusive_ious(boxes, others), [1 / 199, -1, 1])


def test_person_iou_of_one_half_is_too_little_and_part_iou_of_three_tenths_is_enough() -> None:
    half = [0, 0, 99, 49]  # 5,000 of 10,000 px
    assert one([person(BODY, left_arm=(ARM, "bend"))], [person(half, left_arm=(ARM, "bend"))]) == 0
    three_tenths = [10, 10, 12, 19]  # 30 of 100 px
    assert one([person(BODY, left_arm=(ARM, "bend"))], [person(BODY, left_arm=(three_tenths, "bend"))]) == 1
    assert one([person(BODY, left_arm=(ARM, "bend"))], [person(BODY, left_arm=([10, 10, 12, 18], "bend"))]) == 0


def test_one_of_n_proposals_is_worth_one_nth() -> None:
    said = {"box": BODY, "parts": {"left_arm": {"box": [ARM, ARM, [50, 50, 60, 60]], "verb": ["lift", "bend", "bend"]}}}
    assert one([person(BODY, left_arm=(ARM, "bend"))], [said]) == pytest.approx(1 / 3)


def test_parts_of_unmatched_persons_count_in_the_denominator() -> None:
    far = [200, 200, 300, 300]
    truth = [
        person(BODY, left_arm=(ARM, "bend")),
        person(far, left_arm=([210, 210, 220, 220], "bend"), head=([250, 250, 260, 260], "turn")),
    ]
    assert one(truth, [person(BODY, left_arm=(ARM, "bend"))]) == pytest.approx(1 / 3)


def test_verbs_are_compared_as_whole_objects() -> None:
    assert one([person(BODY, left_arm=(ARM, "bend"))], [person(BODY, left_arm=(ARM, ["bend"]))]) == 0
    assert one([person(BODY, left_arm=(ARM, ["bend", "lift"]))], [person(BODY, left_arm=(ARM, ["bend", "lift"]))]) == 1
    assert one([person(BODY, left_arm=(ARM, ["bend", "lift"]))], [person(BODY, left_arm=(ARM, ["lift", "bend"]))]) == 0


def test_frames_without_truth_are_skipped_and_missing_ones_score_zero() -> None:
    assert one([], None) == 1  # no valid frame at all
    assert one([], [person(BODY)]) == 1
    assert one([person(BODY)], [person(BODY)]) == 1  # persons without parts: skipped
    assert one([person(BODY)], []) == 1
    assert one([person(BODY)], None) == 0  # but not where the prediction lacks the frame
    assert one([person(BODY, head=(ARM, "turn"))], []) == 0


def test_a_wrong_action_zeroes_the_video() -> None:
    true = {"v": {"img_00001.json": {"humans": [person(BODY, left_arm=(ARM, "bend"))]}}}
    found = report(true, {"v": "run"}, true, {"v": "walk"})
    assert found["score"] == 0
    assert found["videos"]["v"] == {"psc": 1.0, "action_correct": False, "action": "run", "predicted_action": "walk", "num_frames": 1}


def test_breakdown_counts_by_part_and_state() -> None:
    truth = [person(BODY, left_arm=(ARM, "bend"), head=([0, 0, 9, 9], "turn"), hip=([40, 40, 60, 60], "sit"))]
    said = [person(BODY, left_arm=(ARM, "lift"), head=([0, 0, 9, 9], "turn"))]
    frame = "img_00001.json"
    found = report({"v": {frame: {"humans": truth}}}, {"v": "run"}, {"v": {frame: {"humans": said}}}, {"v": "run"})
    assert found["psc_per_part"]["left_arm"] == {"correctness": 0.0, "parts": 1}
    assert found["psc_per_part"]["right_arm"] == {"correctness": None, "parts": 0}
    assert found["psc_per_state"]["turn"] == {"correctness": 1.0, "parts": 1}
    states, counts = found["confusion"]["states"], np.array(found["confusion"]["counts"])
    assert states == ["bend", "lift", "sit", "turn"]
    assert counts.tolist() == [[0, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]]


GOOD = {"v": {"img_00001.json": {"humans": [person(BODY, left_arm=(ARM, "bend"))]}}}


@pytest.mark.parametrize(
    ("humans", "expected"),
    [
        ([{"box": BODY, "parts": {"left_wing": {"box": ARM, "verb": "bend"}}}], "unknown part; did you mean 'left_hand'"),
        ([{"box": [99, 0, 0, 99], "parts": {}}], "wrong order"),
        ([{"box": [0, 0, float("nan"), 9], "parts": {}}], "not finite"),
        ([{"box": [0, 0, 9], "parts": {}}], "expected four numbers"),
        ([{"box": "0099", "parts": {}}], "expected four numbers"),
        ([{"box": ["0", "0", "9", "9"], "parts": {}}], "expected four numbers"),
        ([{"box": [0, 0, 9, 10**400], "parts": {}}], "expected four numbers"),
        ([{"box": BODY, "parts": {"head": {"box": ARM, "verb": 3}}}], "verb 3, expected a text"),
        ([{"box": BODY, "parts": {"head": {"box": ARM}}}], "expected an object with 'box' and 'verb'"),
        ([{"box": BODY, "parts": {"head": {"box": [ARM] * 6, "verb": ["bend"] * 6}}}], "6 proposals, at most 5"),
        ([{"box": BODY, "parts": {"head": {"box": [ARM] * 2, "verb": ["bend"]}}}], "2 boxes with 1 verbs"),
        ([person(BODY)] * 11, "11 persons, at most 10"),
        ({"box": BODY}, "expected an object with a list 'humans'"),
        ([7], "expected an object with 'box'"),
    ],
)
def test_what_cannot_be_read_is_named(humans: Any, expected: str) -> None:
    said = {"v": {"img_00001.json": {"humans": humans}}}
    with pytest.raises(InputError, match=r"pred\.json: v: img_00001\.json") as caught:
        report(GOOD, {"v": "run"}, said, {"v": "run"})
    assert expected.split(";")[0] in str(caught.value)


def test_a_video_in_one_file_only_is_an_error_or_zero() -> None:
    two = GOOD | {"w": GOOD["v"]}
    with pytest.raises(InputError, match=r"pred\.json: lacks 1 of 2 videos, the first 'w'"):
        report(two, {"v": "run", "w": "run"}, GOOD, {"v": "run", "w": "run"})
    found = report(two, {"v": "run", "w": "run"}, GOOD, {"v": "run", "w": "run"}, missing="zero")
    assert found["videos"]["w"]["psc"] == 0
    assert found["notes"]
    with pytest.raises(InputError, match=r"vid\.json: lacks"):
        report(two, {"v": "run", "w": "run"}, two, {"v": "run"})
    with pytest.raises(InputError, match="1 videos that the ground truth does not have"):
        report(GOOD, {"v": "run"}, two, {"v": "run"})


def test_frames_that_a_prediction_lacks_are_noted() -> None:
    found = report(GOOD, {"v": "run"}, {"v": {}}, {"v": "run"})
    assert found["notes"] == ["pred.json: lacks 1 frames, which count 0, the first v: img_00001.json"]
    assert found["score"] == 0


def test_lists_check_names() -> None:
    with pytest.raises(InputError, match="unknown action 'runn'; did you mean 'run'"):
        report(GOOD, {"v": "run"}, GOOD, {"v": "runn"}, actions=["run"])
    with pytest.raises(InputError, match=r"truth\.json: v: img_00001\.json: unknown state 'bend'; valid: lift"):
        report(GOOD, {"v": "run"}, GOOD, {"v": "run"}, states=["lift"])


def test_files_that_are_cut_off_or_repeat_a_key_are_refused(tmp_path: Path) -> None:
    parts, actions = tmp_path / "p.json", tmp_path / "a.json"
    actions.write_text('{"v": "run"}')
    parts.write_text(json.dumps(GOOD)[:-9])
    with pytest.raises(InputError, match=r"p\.json: not JSON, or cut off"):
        read_results(parts, actions)
    parts.write_text('{"v": {}, "v": {}}')
    with pytest.raises(InputError, match=r"^[^(]*p\.json: the key 'v' stands twice"):
        read_results(parts, actions)
    parts.write_text('{"v": {"frame_1.json": {"humans": []}}}')
    with pytest.raises(InputError, match=r"v: frame 'frame_1\.json', expected a name like img_00001\.json"):
        read_results(parts, actions).parts["v"]
    parts.write_text(json.dumps({"v": {f"img_{'1' * 5000}.json": {"humans": []}, "frame_1.json": {"humans": []}}}))
    with pytest.raises(InputError, match=r"v: frame 'img_1+, expected a name like img_00001\.json"):
        read_results(parts, actions).parts["v"]
    parts.write_text('{"v": 7}')
    with pytest.raises(InputError, match=r"v: expected an object of frames"):
        read_results(parts, actions).parts["v"]
    for text in ("[]", "7"):
        parts.write_text(text)
        with pytest.raises(InputError, match=r"p\.json: expected an object"):
            read_results(parts, actions)


@pytest.mark.parametrize("twice", ['"box": [0, 0, 1, 1]', '"verb": "bend"', '"number": 1'])
def test_a_key_that_a_part_has_twice_is_refused(tmp_path: Path, twice: str) -> None:
    """The decoder of the usual forms takes the last of both; the number of colons tells."""
    parts, actions = tmp_path / "p.json", tmp_path / "a.json"
    actions.write_text('{"v": "run"}')
    for more in ("", '"number": 1, "name": "head", ', '"at": "\\u003a", '):
        text = f'{{"box": [0, 0, 1, 1], {more}"verb": "bend", {twice}, {twice}}}'
        parts.write_text(f'{{"v": {{"img_00001.json": {{"humans": [{{"box": [0, 0, 9, 9], "parts": {{"head": {text}}}}}]}}}}}}')
        with pytest.raises(InputError, match=r"p\.json: v: the key '.*' stands twice"):
            read_results(parts, actions).parts["v"]


def numbered(frames: Any) -> Any:
    """With the keys that the organisers' form has besides."""
    return {
        name: {
            "humans": [
                {"number": i, **human, "parts": {part: {"number": 3, **one, "name": part} for part, one in human["parts"].items()}}
                for i, human in enumerate(frame["humans"])
            ]
        }
        for name, frame in frames.items()
    }


@pytest.mark.parametrize("proposals", [1, 3])
@pytest.mark.parametrize("change", [lambda frames: frames, numbered], ids=["plain", "numbered"])
@pytest.mark.parametrize(
    "written", [json.dumps, lambda value: json.dumps(value) + " ", lambda value: json.dumps(value)[:-1] + ', "x:": {}}']
)
def test_files_score_as_what_they_hold(tmp_path: Path, proposals: int, change: Any, written: Any) -> None:
    true, actions, said, guesses = plain.random_results(5, videos=4, frames=4, persons=3, proposals=proposals)
    true, said = ({video: change(frames) for video, frames in side.items()} for side in (true, said))
    for name, value in (("gt_part_result", true), ("gt_vid_result", actions), ("vid", guesses)):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
    (tmp_path / "part.json").write_text(written(said))
    found = evaluate(read_truth(tmp_path), read_results(tmp_path / "part.json", tmp_path / "vid.json"), missing="zero", workers=2)
    expected = report(true, actions, said, guesses)
    notes, other = found.pop("notes"), expected.pop("notes")
    assert found == expected
    assert [note.split("json: ")[-1] for note in other] == [note.split("json: ")[-1] for note in notes if "'x:'" not in note]


def test_the_usual_forms_are_decoded_by_their_types_and_others_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"v": "run"}')
    for parts, usual in (
        ({"head": {"box": ARM, "verb": "turn"}}, True),
        ({"head": {"box": [ARM, ARM], "verb": ["turn", "bend"]}}, True),
        ({"head": {"box": ARM, "verb": "a:b"}}, False),
        ({"head": {"box": ARM, "verb": ["turn", "bend"]}}, False),
        ({"head": {"box": ARM, "verb": "turn", "seen": True}}, False),
    ):
        (tmp_path / "p.json").write_text(json.dumps({"v": {"img_00001.json": {"humans": [{"box": BODY, "parts": parts}]}}}))
        results = read_results(tmp_path / "p.json", tmp_path / "a.json")
        assert isinstance(results.parts["v"]["img_00001.json"], msgspec.Struct) is usual
        assert len(report(GOOD, {"v": "run"}, results.parts, {"v": "run"})["videos"]) == 1


def test_what_is_wrong_in_a_file_is_named_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"v": "run"}')
    for box, message in (([99, 0, 0, 99], "wrong order"), ([0, 0, float("nan"), 9], "not finite"), ([0, 0, 9], "expected four numbers")):
        (tmp_path / "p.json").write_text(json.dumps({"v": {"img_00001.json": {"humans": [{"box": box, "parts": {}}]}}}))
        results = read_results(tmp_path / "p.json", tmp_path / "a.json")
        with pytest.raises(InputError, match=rf"pred\.json: v: img_00001\.json: human 0: .*{message}"):
            report(GOOD, {"v": "run"}, results.parts, {"v": "run"})


def test_truth_from_a_tree_takes_sampled_frames_and_first_states(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "v" / "v"
    folder.mkdir(parents=True)
    human = {"number": 1, "box": [BODY], "parts": {"left_arm": {"box": [ARM], "verb": [["bend"], "lift"]}}}
    for frame in (1, 2, 6):
        (folder / f"img_{frame:05d}.json").write_text(json.dumps({"humans": [human]}))
    truth = read_truth(tmp_path)
    assert truth.actions == {"v": "run"}
    assert list(truth.parts["v"]) == ["img_00001.json", "img_00006.json"]
    found = report(truth.parts, truth.actions, {"v": dict.fromkeys(truth.parts["v"], GOOD["v"]["img_00001.json"])}, {"v": "run"})
    assert found["videos"]["v"]["psc"] == 1

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from builders import VOCABULARY, box_around, skeleton

from parsing.configs import parse_config
from parsing.errors import InputError
from parsing.learning.batches import EpochSampler
from parsing.learning.experiment import experiment
from parsing.pose import STATE_NAMES, pose_vocabulary
from parsing.states.data import PlainCrops, StateCrops, StateTable, collate, sample_weights
from parsing.states.evaluation import StateScores, evaluate_states
from parsing.states.losses import StateLossConfig
from parsing.states.metrics import state_metrics, top1
from parsing.states.network import PartStateArchitecture, PartStateNet
from parsing.states.part_state_net import PartStateStage
from parsing.states.sources import ImageStates, StateDataConfig
from parsing.states.train import PartStateTraining, StateTask
from parsing.vocabulary import PART_NAMES


def write_people(root: Path, count: int = 6) -> Path:
    """Stick figures with raised or lowered right arms, one action each."""
    (root / "images").mkdir(parents=True)
    document: dict[str, list[dict[str, object]]] = {"images": [], "annotations": []}
    for i in range(count):
        points = skeleton() if i % 2 else skeleton(right_elbow=(60, 15), right_wrist=(95, 2))
        image = np.full((240, 220, 3), 255, np.uint8)
        for a, b in ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 11), (6, 12), (5, 6)):
            cv2.line(image, *(tuple(int(v) for v in points[j, :2]) for j in (a, b)), (200, 30, 30), 8)  # type: ignore[call-overload]
        cv2.imwrite(str(root / f"images/{i}.png"), image)
        box = box_around(points)
        document["images"].append({"id": i, "file_name": f"{i}.png", "height": 240, "width": 220, "source": "made", "action": "run"})
        document["annotations"].append(
            {"image_id": i, "bbox": [float(v) for v in (*box[:2], *(box[2:] - box[:2]))], "keypoints": [float(v) for v in points.ravel()]}
        )
    for split in ("train", "val"):
        (root / f"annotations_{split}.json").write_text(json.dumps(document))
    return root


@pytest.fixture
def table(tmp_path: Path) -> StateTable:
    root = write_people(tmp_path / "people")
    return ImageStates(str(root), sources=("made",)).table("train", VOCABULARY)


def test_crops_repeat_for_a_seed(table: StateTable) -> None:
    crops = StateCrops(table, VOCABULARY, 64, 1.15)
    first, again, other = crops[(0, 5)], crops[(0, 5)], crops[(0, 6)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_flips_swap_sides(table: StateTable) -> None:
    """The raised right arm becomes a raised left arm in about half of the views, with its box on the other side."""
    crops, raised = StateCrops(table, VOCABULARY, 96, 1.15), STATE_NAMES.index("raise")
    left, right = PART_NAMES.index("left_arm"), PART_NAMES.index("right_arm")
    sides = []
    for seed in range(40):
        _, boxes, visible, holds, *_ = crops[(0, seed)]
        assert holds[left, raised] != holds[right, raised]
        sides.append(bool(holds[left, raised]))
        arm, hip = (left if holds[left, raised] else right), PART_NAMES.index("hip")
        if visible[arm] and visible[hip]:
            beside = (boxes[arm][0] + boxes[arm][2]) / 2 > (boxes[hip][0] + boxes[hip][2]) / 2
            assert beside == holds[left, raised]  # seen from the front, the left arm is on the right of the picture
    assert 8 < sum(sides) < 32


def test_rare_states_are_drawn_more(table: StateTable) -> None:
    many = table.select(np.array([1] * 9 + [0]))
    assert sample_weights(many, 0) is None
    weights = sample_weights(many, 0.5)
    assert weights is not None
    assert weights[-1] > 2 * weights[0]
    drawn = [i for i, _ in EpochSampler(10, weights, 0)] + [i for i, _ in EpochSampler(10, weights, 1)]
    assert drawn.count(9) >= 3


def test_plain_crops_show_the_person(table: StateTable) -> None:
    batch = collate([PlainCrops(table, 64, 1.15)[i, 0] for i in range(2)])
    assert batch.crops.shape == (2, 3, 64, 64)
    assert batch.boxes.min() > -6
    assert batch.boxes.max() < 70
    assert batch.actions.tolist() == [0, 0]


def test_metrics_by_hand() -> None:
    shape = (4, *VOCABULARY.allowed.shape)
    scores, holds, known = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
    arm, bend = PART_NAMES.index("left_arm"), STATE_NAMES.index("bend")
    known[:3, arm, bend] = True  # the fourth person does not count
    holds[:, arm, bend] = [True, True, False, False]
    scores[:, arm, bend] = [0.9, 0.2, 0.1, 0.99]
    metrics = state_metrics(scores, holds, known, VOCABULARY)
    # One of two positives and the one negative are right.
    assert metrics["mean_class_accuracy"] == pytest.approx(0.75)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["majority_accuracy"] == pytest.approx(2 / 3)
    assert metrics["mean_ap"] == pytest.approx(1.0)
    assert list(metrics["per_state"]) == ["left_arm/bend"]


def test_training_tells_the_truth_or_what_a_recognizer_said() -> None:
    network = PartStateNet(PartStateArchitecture("test_efficientnet", 1, 2, dim=8, heads=2), torch.from_numpy(VOCABULARY.allowed), 2)
    actions = torch.tensor([0, 1, -1, 0])
    predicted = torch.tensor([[0.2, 0.2], [0.9, 0.1], [0.0, 0.0], [0.0, 0.0]])
    always = StateTask(network, torch.zeros(10, len(STATE_NAMES)), StateLossConfig(), doubt_rate=1.0)
    told, known = always._distributions(actions, predicted)
    assert told is not None
    assert known.tolist() == [True, True, False, True]
    assert torch.allclose(told[:2], torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
    assert torch.allclose(told.sum(1), torch.ones(4))
    assert told[3, 0] >= 0.4  # simulated: the truth keeps its share
    never = StateTask(network, torch.zeros(10, len(STATE_NAMES)), StateLossConfig(), doubt_rate=0.0)
    exact, _ = never._distributions(actions, predicted)
    assert exact is not None
    assert exact[[0, 1, 3]].tolist() == [[1, 0], [0, 1], [1, 0]]


def test_top1_counts_the_best_scored_state_that_holds() -> None:
    scores = np.array([[[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.5, 0.5, 0.5]]])
    holds = np.array([[[True, False, False], [True, False, True], [False, False, False]]])
    known = np.ones_like(holds)
    assert top1(scores, holds, known) == 0.5  # the third part has no state and does not count
    known[0, 1, 1] = False  # of what is not known the score is not looked at
    assert top1(scores, holds, known) == 1.0
    assert top1(scores, holds & False, known) is None


def test_metrics_without_persons() -> None:
    empty = np.zeros((0, *VOCABULARY.allowed.shape))
    assert state_metrics(empty, empty.astype(bool), empty.astype(bool), VOCABULARY)["mean_class_accuracy"] is None


def test_training_learns_and_evaluates(tmp_path: Path) -> None:
    root = write_people(tmp_path / "people")
    settings = {
        "name": "part_state_net",
        "architecture": {"backbone": "test_efficientnet", "part_level": 1, "person_level": 2, "input_px": 64, "dim": 16, "heads": 2},
        "data": {"images": {"root": str(root), "more": [str(root)]}, "actions": ["run", "walk"]},
        "fit": {"epochs": 3, "batch_size": 4, "lr": 0.01, "precision": "bf16-mixed"},
        "pretrained": "none",
    }
    for gone in ({"pretrained": "gone.safetensors"}, {"initial": "gone.safetensors"}):
        parse_config(PartStateTraining, settings | gone, "t").prepare("cpu", resumed=True)
    torch.manual_seed(0)
    training = parse_config(PartStateTraining, settings, "t")
    experiment(training, tmp_path / "run", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["losses"]["states"] < rows[0]["losses"]["states"]
    last = training.evaluate(training.component(str(tmp_path / "run/weights.safetensors")).build("cpu"), device="cpu")
    assert last["all"]["mean_ap"] == pytest.approx(rows[-1]["all"]["mean_ap"], abs=0.02)  # weights are stored in half precision
    metrics = training.evaluate(training.component(str(tmp_path / "run/best.safetensors")).build("cpu"), device="cpu")
    assert metrics["all"]["mean_ap"] == pytest.approx(max(row["all"]["mean_ap"] for row in rows), abs=0.02)
    assert metrics["all"]["num_persons"] == 12
    assert metrics["action_hidden"]["num_persons"] == metrics["action_given"]["num_persons"] == 12


def test_folders_join_and_each_source_has_figures_of_its_own(tmp_path: Path) -> None:
    root, more = write_people(tmp_path / "people"), write_people(tmp_path / "more", 2)
    for split in ("train", "val"):
        path = more / f"annotations_{split}.json"
        path.write_text(path.read_text().replace('"made"', '"sport"'))
    data = StateDataConfig(images=ImageStates(str(root), (str(more),)), source_weights={"sport": 0.5}, balance=0.0)
    table = data.table("train", VOCABULARY)
    assert table.sources.tolist() == ["made"] * 6 + ["sport"] * 2
    assert sample_weights(table, data.balance, data.source_weights) == [1.0] * 6 + [0.5] * 2
    some = StateDataConfig(images=ImageStates(str(root), (str(more),), sources=("sport",)))
    assert set(some.table("train", VOCABULARY).sources) == {"sport"}
    assert set(some.table("val", VOCABULARY).sources) == {"made", "sport"}
    network = PartStateNet(
        PartStateArchitecture("test_efficientnet", 1, 2, input_px=32, dim=8, heads=2), torch.from_numpy(VOCABULARY.allowed), 2
    )
    stage = PartStateStage(network.eval(), VOCABULARY, "cpu", batch_size=4)
    metrics = evaluate_states(stage, table, StateScores.of(stage, table))
    assert metrics["sport"]["num_persons"] == 2


def test_a_turned_person_has_the_states_of_its_turned_joints(table: StateTable) -> None:
    """A person who stands lies after a quarter turn; its elbows stay as they are. What was annotated itself is turned little."""
    stand, bend = STATE_NAMES.index("stand"), STATE_NAMES.index("bend")
    leg, arm = PART_NAMES.index("left_leg"), PART_NAMES.index("left_arm")
    upright = StateCrops(table, VOCABULARY, 64, 1.15, pose_rotation_deg=0.0)
    assert all(upright[1, seed][3][leg, stand] for seed in range(4))
    turned = StateCrops(table, VOCABULARY, 64, 1.15, pose_rotation_deg=180.0)
    items = [turned[1, seed] for seed in range(30)]
    assert {bool(holds[leg, stand]) for _, _, _, holds, known, *_ in items if known[leg, stand]} == {True, False}
    assert {bool(holds[arm, bend]) for _, _, _, holds, known, *_ in items if known[arm, bend]} == {False}
    given = StateCrops(replace(table, poses=np.full(len(table), None)), VOCABULARY, 64, 1.15, pose_rotation_deg=180.0)
    assert all(given[1, seed][3][leg, stand] for seed in range(30))


def test_exclusive_states_of_a_config_are_checked(tmp_path: Path) -> None:
    images = ImageStates(str(write_people(tmp_path / "people")))
    assert StateDataConfig(images=images).vocabulary() == pose_vocabulary(())
    chosen = StateDataConfig(images=images, exclusive={"hip": (("stand", "sit"),)}).vocabulary()
    assert chosen.exclusive[PART_NAMES.index("hip")] == (("stand", "sit"),)
    assert chosen.exclusive[0] == ()
    for wrong, message in (
        ({"hips": (("stand", "sit"),)}, "'hips': unknown part"),
        ({"hip": (("stand", "swim"),)}, "expected two or more"),
    ):
        with pytest.raises(InputError, match=message):
            StateDataConfig(images=images, exclusive=wrong).vocabulary()

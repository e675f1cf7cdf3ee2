import numpy as np
import pytest
import torch
from builders import frame

from detectors import PERSON_DETECTORS
from detectors.ensemble import EnsembleParts, EnsemblePersons, EnsemblePersonsConfig
from detectors.persons import PersonDetectorConfig
from detectors.suppression import Suppression, class_thresholds, fuse, select_boxes, without_groups
from parsing import Detections, InputError, Parts
from parsing.configs import resolve
from parsing.types import Array, Frame, ModelFacts

HW = (100, 200)
NONE = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))


def candidates(*rows: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([box for box, _ in rows], dtype=torch.float32).reshape(-1, 4), torch.tensor([scores for _, scores in rows])


OVERLAPPING = candidates(
    ((0, 0, 10, 10), (0.9, 0.0)),
    ((0, 0, 10, 9), (0.6, 0.0)),
    ((50, 50, 60, 60), (0.0, 0.5)),
    ((0, 0, 10, 10), (0.0, 0.2)),
)


@pytest.mark.parametrize("method", ["nms", "soft_nms", "wbf"])
def test_nothing_in_nothing_out(method: str) -> None:
    empty = torch.zeros(0, 4), torch.zeros(0, 2)
    boxes, scores, classes = select_boxes([empty, empty], np.zeros(2, np.float32), Suppression(method), 10, HW)  # type: ignore[arg-type]
    assert (boxes.shape, scores.shape, classes.shape) == ((0, 4), (0,), (0,))


def test_nms_keeps_the_best_of_each_class_above_its_own_threshold() -> None:
    thresholds = class_thresholds(("a", "b"), 0.1, {"b": 0.3})
    boxes, scores, classes = select_boxes([OVERLAPPING], thresholds, Suppression("nms", 0.6), 10, HW)
    assert boxes.tolist() == [[0, 0, 10, 10], [50, 50, 60, 60]]
    assert scores.tolist() == pytest.approx([0.9, 0.5])
    assert classes.tolist() == [0, 1]
    assert len(select_boxes([OVERLAPPING], thresholds, Suppression(), 1, HW)[0]) == 1


def test_soft_nms_lowers_scores_by_overlap() -> None:
    boxes, scores, classes = select_boxes([OVERLAPPING], np.full(2, 0.01, np.float32), Suppression("soft_nms", sigma=0.5), 10, HW)
    by_box = {(tuple(box), c): s for box, s, c in zip(boxes.round().tolist(), scores.tolist(), classes.tolist(), strict=True)}
    assert by_box[(0, 0, 10, 10), 0] == pytest.approx(0.9)
    assert by_box[(0, 0, 10, 9), 0] == pytest.approx(0.6 * np.exp(-(0.9**2) / 0.5), rel=1e-3)
    assert by_box[(0, 0, 10, 10), 1] == pytest.approx(0.2)
    assert (np.diff(scores) <= 0).all()


def test_fusion_averages_boxes_by_score_and_lowers_what_one_view_missed() -> None:
    first = (np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32), np.array([0.8, 0.6], np.float32), np.array([0, 0]))
    second = (np.array([[0, 0, 10, 12]], np.float32), np.array([0.4], np.float32), np.array([0]))
    boxes, scores, classes = fuse([first, second], HW, 0.55, None)
    np.testing.assert_allclose(boxes, [[0, 0, 10, (0.8 * 10 + 0.4 * 12) / 1.2], [50, 50, 60, 60]], rtol=1e-5)
    assert scores.tolist() == pytest.approx([0.6, 0.3])
    assert classes.tolist() == [0, 0]
    assert fuse([NONE, NONE], HW, 0.5, None)[0].shape == (0, 4)


def test_unknown_class_of_a_threshold_is_named() -> None:
    with pytest.raises(InputError, match="unknown class 'hed'; did you mean 'head'"):
        class_thresholds(("head",), 0.1, {"hed": 0.3})


class Fixed:
    """A detector that always finds the same."""

    facts = ModelFacts("person_detector", "fixed", None, "{}")
    part_names, swap = ("head", "hip"), np.arange(2)

    def __init__(self, boxes: Array, scores: Array) -> None:
        self.boxes, self.scores = boxes, scores

    def __call__(self, frames: list[Frame], persons: list[Detections] | None = None) -> list:  # type: ignore[type-arg]
        if persons is None:
            return [Detections(self.boxes, self.scores, np.zeros(len(self.boxes))) for _ in frames]
        return [Parts(self.boxes[None], self.scores[None], self.scores[None] > 0) for _ in frames]


def test_ensemble_of_persons_and_parts() -> None:
    one = Fixed(np.array([[0, 0, 10, 10], [50, 50, 90, 90]], np.float32), np.array([0.9, 0.8]))
    two = Fixed(np.array([[0, 0, 10, 10], [0, 0, 0, 0]], np.float32), np.array([0.7, 0.0]))
    persons = EnsemblePersons([one, Fixed(two.boxes[:1], two.scores[:1])], None, 0.55, 0.45)([frame()])[0]
    assert persons.scores.tolist() == pytest.approx([0.8])  # the other person has 0.4 left
    known = Detections(np.array([[0, 0, 90, 90]]), np.ones(1), np.zeros(1))
    parts = EnsembleParts([one, two], None, 0.55, 0.3)([frame()], [known])[0]
    assert parts.scores[0].tolist() == pytest.approx([0.8, 0.4])
    assert parts.visible.all()


def test_ensemble_refuses_weights_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="2 weights for 1 members"):
        EnsemblePersonsConfig("ensemble", (PersonDetectorConfig("cascade_rcnn"),), (1.0, 2.0)).build("cpu")
    with pytest.raises(InputError, match=r"person_detector: members\.1: unknown name 'yolo'; valid: "):
        resolve(PERSON_DETECTORS, {"name": "ensemble", "members": [{"name": "gfl"}, {"name": "yolo"}]}, "person_detector")
    with pytest.raises(InputError, match=r"person_detector: unknown key 'members\.0\.scor'; did you mean 'score_threshold'\?"):
        resolve(PERSON_DETECTORS, {"name": "ensemble", "members": [{"name": "gfl", "scor": 1}]}, "person_detector")


GROUP = [0, 0, 40, 30]
LEFT, RIGHT, CORNER = [0, 0, 18, 30], [20, 0, 40, 28], [30, 0, 40, 10]


@pytest.mark.parametrize(
    ("boxes", "classes", "kept"),
    [
        ([LEFT, RIGHT, GROUP], [0, 0, 0], [0, 1]),
        ([LEFT, GROUP, RIGHT], [0, 0, 0], [0, 1, 2]),  # only one of them is better
        ([LEFT, RIGHT, GROUP], [0, 1, 0], [0, 1, 2]),  # one is of another class
        ([[0, 0, 10, 10], CORNER, GROUP], [0, 0, 0], [0, 1, 2]),  # they fill one sixth of it
        ([LEFT, [0, 0, 18, 29], GROUP], [0, 0, 0], [0, 1, 2]),  # both are the same person
        ([LEFT, [20, 0, 60, 30], GROUP], [0, 0, 0], [0, 1, 2]),  # half of the second lies outside
        ([], [], []),
    ],
)
def test_boxes_around_a_group_are_dropped(boxes: list[list[float]], classes: list[int], kept: list[int]) -> None:
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    found = without_groups((np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(classes, int)))
    assert found[1].tolist() == scores[kept].tolist()


def test_groups_are_kept_unless_asked() -> None:
    pair = candidates(*((tuple(map(float, box)), (score,)) for box, score in ((LEFT, 0.9), (RIGHT, 0.8), (GROUP, 0.7))))
    thresholds = np.zeros(1, np.float32)
    assert len(select_boxes([pair], thresholds, Suppression(), 10, HW)[0]) == 3
    assert len(select_boxes([pair], thresholds, Suppression(drop_groups=True), 10, HW)[0]) == 2

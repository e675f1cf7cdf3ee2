import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from parsing.measures.boxes import BoxTruth, box_metrics, coco_dataset, coco_results

NOTHING = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))


def truth(*rows: tuple[float, ...], crowd: tuple[bool, ...] = ()) -> BoxTruth:
    boxes = np.array(rows, float).reshape(-1, 4)
    return BoxTruth(boxes, np.zeros(len(boxes), int), np.array(crowd or [False] * len(boxes), bool))


def test_no_ground_truth_has_no_figure() -> None:
    assert box_metrics([truth()], [NOTHING], ["person"])["AP"] is None
    assert box_metrics([], [], ["person"])["AP"] is None


def test_nothing_found_scores_zero() -> None:
    assert box_metrics([truth((0, 0, 10, 10))], [NOTHING], ["person"])["AP"] == 0


def test_hand_computed_ap() -> None:
    # One of two persons found exactly, one false alarm ranked above it: precision 1/2 up to recall 1/2.
    found = (np.array([[50.0, 50, 60, 60], [0, 0, 10, 10]]), np.array([0.9, 0.8]), np.array([0, 0]))
    metrics = box_metrics([truth((0, 0, 10, 10), (20, 20, 30, 30))], [found], ["person"])
    assert metrics["AP50"] == pytest.approx(0.5 * 51 / 101, abs=1e-4)  # 101 recall points, 51 of them up to 0.5
    # IoU 0.8 counts at 0.50 ... 0.80: seven of ten thresholds.
    found = (np.array([[0.0, 0, 10, 8]]), np.array([0.9]), np.array([0]))
    metrics = box_metrics([truth((0, 0, 10, 10))], [found], ["person"])
    assert metrics["AP50"] == 1
    assert metrics["AP"] == pytest.approx(0.7, abs=0.001)


def test_boxes_in_a_crowd_are_neither_right_nor_wrong() -> None:
    found = (np.array([[0.0, 0, 10, 10], [52, 52, 60, 60]]), np.array([0.5, 0.9]), np.array([0, 0]))
    assert box_metrics([truth((0, 0, 10, 10), (50, 50, 90, 90), crowd=(False, True))], [found], ["person"])["AP"] == 1


def test_equals_pycocotools_on_random_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(3)
    truths, found = [], []
    for _ in range(12):
        low = random.uniform(0, 80, (6, 2))
        boxes = np.concatenate([low, low + random.uniform(5, 40, (6, 2))], 1)
        truths.append(BoxTruth(boxes, random.integers(0, 3, 6), random.random(6) < 0.1))
        found.append((boxes[:5] + random.normal(0, 2, (5, 4)), random.random(5), random.integers(0, 3, 5)))
    metrics = box_metrics(truths, found, ["a", "b", "c"])
    reference = COCO()
    reference.dataset = coco_dataset(truths, ["a", "b", "c"])
    reference.createIndex()
    evaluation = COCOeval(reference, reference.loadRes(coco_results(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    capsys.readouterr()
    assert [metrics[k] for k in ("AP", "AP50", "AP75", "AR")] == pytest.approx(evaluation.stats[[0, 1, 2, 8]].tolist(), abs=1e-4)

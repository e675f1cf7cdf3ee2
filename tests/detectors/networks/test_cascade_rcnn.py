import numpy as np
import pytest
import torch
from builders import TINY_DETECTOR

from detectors.networks.architectures import CascadeArchitecture, Targets
from detectors.networks.cascade_rcnn import STAGE_DELTAS, CascadeRCNN
from detectors.networks.targets import box_in_region, match, sample_balanced
from detectors.parts import NetworkPartDetector, best_per_class
from detectors.persons import NetworkPersonDetector
from detectors.suppression import Suppression
from parsing import Detections, Frame


def tiny(class_names: tuple[str, ...] = ("person",)) -> CascadeRCNN:
    torch.manual_seed(0)
    return CascadeRCNN(CascadeArchitecture(class_names=class_names, **TINY_DETECTOR)).eval()


def frame(height: int, width: int, index: int = 0) -> Frame:
    image = np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)
    return Frame("clip.mp4", index, index / 25, image)


def boxes(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_losses_are_finite_and_named_without_any_person() -> None:
    network = tiny().train()
    nothing = Targets(boxes(), torch.zeros(0, dtype=torch.long), boxes())
    losses = network(torch.rand(2, 3, 64, 64), [(64, 64)] * 2, [nothing] * 2)
    assert set(losses) == {"rpn_objectness", "rpn_box", "class1", "class2", "class3", "box1", "box2", "box3"}
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["box1"] == 0


def test_ignored_region_gives_no_background_loss() -> None:
    candidates, truth = boxes((0, 0, 10, 10), (50, 50, 60, 60), (52, 52, 58, 58)), boxes((0, 0, 10, 10))
    label, index = match(candidates, truth, torch.tensor([3]), boxes((45, 45, 58, 58)), 0.5)
    assert label.tolist() == [3, -1, -1]
    assert index[0] == 0
    assert sample_balanced(label, 16, 0.25).tolist() == [0]


def test_box_in_region_by_own_area() -> None:
    regions = boxes((0, 0, 10, 10))
    assert box_in_region(boxes((5, 0, 15, 10), (4, 0, 14, 10), (20, 20, 30, 30)), regions).tolist() == [False, True, False]
    assert box_in_region(boxes(), regions).tolist() == []
    assert box_in_region(boxes((0, 0, 1, 1)), boxes()).tolist() == [False]


@pytest.mark.parametrize(("stage", "threshold"), [(0, 0.5), (1, 0.6), (2, 0.7)])
def test_stages_ask_for_rising_overlap(stage: int, threshold: float) -> None:
    del stage
    shifted = boxes((0, 0, 10, 10 * threshold), (0, 0, 10, 10 * threshold - 0.1))  # IoU just at and below
    label, _ = match(shifted, boxes((0, 0, 10, 10)), torch.tensor([1]), boxes(), threshold)
    assert label.tolist() == [1, 0]


def test_deltas_are_the_published_ones() -> None:
    assert [tuple(1 / w for w in weights) for weights in STAGE_DELTAS] == [
        pytest.approx((0.1, 0.1, 0.2, 0.2)),
        pytest.approx((0.05, 0.05, 0.1, 0.1)),
        pytest.approx((0.033, 0.033, 0.067, 0.067)),
    ]


def test_scores_come_from_the_mean_logits_of_three_heads() -> None:
    network = tiny()
    for head, bias in zip(network.heads, (0.0, 1.0, 2.0), strict=True):
        torch.nn.init.zeros_(head.classify.weight)
        head.classify.bias.data = torch.tensor([0.0, bias])
    (_, scores) = network.candidates(torch.rand(1, 3, 64, 64), [(64, 64)])[0]
    assert scores.flatten().tolist() == pytest.approx([float(torch.sigmoid(torch.tensor(1.0)))] * len(scores), abs=1e-5)


def test_person_detector_maps_boxes_to_frames_of_any_size() -> None:
    detector = NetworkPersonDetector(tiny(), "cpu", 0.0, Suppression(), max_persons=7)
    assert detector([]) == []
    for height, width in ((48, 100), (1, 1), (211, 37)):
        found = detector([frame(height, width)])[0]
        assert len(found) <= 7
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= np.array([width, height, width, height])).all()
        assert (np.diff(found.scores) <= 0).all()


def test_person_detector_is_independent_of_the_batch() -> None:
    detector = NetworkPersonDetector(tiny(), "cpu", 0.0, Suppression(), max_persons=20)
    frames = [frame(48, 64, i) for i in range(5)]
    for alone, together in zip([detector([f])[0] for f in frames], detector(frames), strict=True):
        np.testing.assert_allclose(alone.xyxy, together.xyxy, atol=1e-3)
        np.testing.assert_allclose(alone.scores, together.scores, atol=1e-5)


def test_part_detector_keeps_one_box_per_part_and_none_without_persons() -> None:
    detector = NetworkPartDetector(tiny(("head", "hip")), "cpu", np.zeros(2), batch_size=2)
    persons = Detections(np.array([[2, 3, 30, 40], [10, 0, 60, 47], [0, 0, 5, 5]]), np.ones(3), np.zeros(3))
    empty, three = detector([frame(48, 64), frame(48, 64, 1)], [Detections.empty(), persons])
    assert empty.xyxy.shape == (0, 2, 4)
    assert three.xyxy.shape == (3, 2, 4)
    assert (three.xyxy[..., 2] <= 64).all()
    hidden = NetworkPartDetector(tiny(("head", "hip")), "cpu", np.ones(2), batch_size=2)([frame(48, 64)], [persons])[0]
    assert not hidden.visible.any()
    assert not hidden.xyxy.any()


def test_best_per_class_averages_boxes_that_agree() -> None:
    found = boxes((0, 0, 10, 10), (0, 0, 10, 12), (50, 50, 60, 60))
    scores = torch.tensor([[0.6, 0.0], [0.3, 0.0], [0.0, 0.9]])
    best, best_scores = best_per_class(found, scores)
    # Weights: 0.6 for the best, and 0.3 for the other times (5/6 - 0.6) / 0.4.
    low = 0.3 * (5 / 6 - 0.6) / 0.4
    np.testing.assert_allclose(best, [[0, 0, 10, (0.6 * 10 + low * 12) / (0.6 + low)], [50, 50, 60, 60]], rtol=1e-5)
    np.testing.assert_allclose(best_scores, [0.6, 0.9])
    assert best_per_class(boxes(), torch.zeros(0, 2))[0].shape == (2, 4)

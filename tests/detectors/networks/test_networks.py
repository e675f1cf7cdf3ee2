"""What holds for every detection network."""

from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import roi_align

from detectors.inputs import find_candidates
from detectors.networks import NETWORKS, build_network, load_network
from detectors.networks.architectures import (
    CascadeArchitecture,
    DetectorArchitecture,
    FasterRCNNArchitecture,
    GFLArchitecture,
    RetinaNetArchitecture,
    Targets,
)
from detectors.networks.gfl import distances, quality_focal_loss
from detectors.networks.pooling import RegionPooling, align_regions
from detectors.networks.targets import match_anchors, match_atss
from detectors.suppression import Suppression, select_boxes
from parsing import InputError
from parsing.geometry import box_ious
from parsing.networks.weights import WeightsHeader, save_weights

COMMON: dict[str, Any] = {"backbone": "test_efficientnet", "levels": (1, 2), "fpn_channels": 16, "input_px": 64}
ARCHITECTURES: dict[str, DetectorArchitecture] = {
    "cascade_rcnn": CascadeArchitecture(("a", "b"), **COMMON, anchor_sizes=((16.0,), (32.0,), (64.0,)), hidden=16, proposals=20, rois=16),
    "faster_rcnn": FasterRCNNArchitecture(("a", "b"), **COMMON, anchor_sizes=((16.0,), (32.0,), (64.0,)), hidden=16, proposals=20, rois=16),
    "retinanet": RetinaNetArchitecture(("a", "b"), **COMMON, anchor_scale=2.0, convs=1, candidates=50),
    "gfl": GFLArchitecture(("a", "b"), **COMMON, anchor_scale=3.0, convs=1, candidates=50),
}


def tiny(name: str, **changed: Any) -> Any:
    torch.manual_seed(0)
    fields = {**asdict(ARCHITECTURES[name]), **changed}
    return build_network(name, NETWORKS[name][0](**fields))


def boxes(*rows: tuple[float, float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def targets(ignored: Tensor | None = None) -> Targets:
    nothing = boxes()
    return Targets(boxes((20, 16, 40, 48)), torch.tensor([2]), nothing if ignored is None else ignored)


def test_every_network_is_tested() -> None:
    assert ARCHITECTURES.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_without_any_object_are_finite_and_can_be_trained(name: str) -> None:
    network = tiny(name).train()
    nothing = Targets(boxes(), torch.zeros(0, dtype=torch.long), boxes())
    losses = network(torch.rand(2, 3, 64, 64), [(64, 64)] * 2, [nothing] * 2)
    assert all(torch.isfinite(value) for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()


@pytest.mark.parametrize("name", NETWORKS)
def test_network_learns_one_image(name: str) -> None:
    network = tiny(name).train()
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, 16:48, 20:40] = 1
    optimizer = torch.optim.Adam(network.parameters(), 0.005)
    for _ in range(80):
        loss = torch.stack(list(network(image, [(64, 64)], [targets()]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    candidates = network.eval().candidates(image, [(64, 64)])
    found, scores, classes = select_boxes(candidates, np.full(2, 0.2, np.float32), Suppression(), 5, (64, 64))
    assert scores[0] > 0.4
    assert classes[0] == 1
    # How close it comes in so few steps depends on the rounding of the processor.
    assert box_ious(found[:1], np.array([[20.0, 16, 40, 48]]))[0, 0] > 0.6


@pytest.mark.parametrize("name", NETWORKS)
def test_no_loss_judges_background_in_ignored_regions(name: str) -> None:
    """With the whole image ignored, only boxes that answer for ground truth are left to train on."""
    network = tiny(name).train()
    nothing = Targets(boxes(), torch.zeros(0, dtype=torch.long), boxes((-500, -500, 600, 600)))
    losses = network(torch.rand(1, 3, 64, 64), [(64, 64)], [nothing])
    assert {key: float(value.detach()) for key, value in losses.items()} == dict.fromkeys(losses, 0.0)


@pytest.mark.parametrize("name", NETWORKS)
def test_candidates_stay_in_the_image_and_scores_in_range(name: str) -> None:
    network = tiny(name).eval()
    for (found, scores), (height, width) in zip(
        network.candidates(torch.rand(2, 3, 64, 96), [(64, 96), (33, 50)]), [(64, 96), (33, 50)], strict=True
    ):
        assert scores.shape == (len(found), 2)
        assert 0 <= float(scores.min()) <= float(scores.max()) <= 1
        assert (found >= 0).all()
        assert (found <= torch.tensor([width, height, width, height])).all()


@pytest.mark.parametrize("name", ["cascade_rcnn", "faster_rcnn"])
def test_heads_see_what_looks_like_an_object_alone_when_they_do_not_learn(name: str) -> None:
    all_, some, none = (tiny(name, proposals=1000, least_objectness=least) for least in (0.0, 0.5, 1.0))
    images, sizes = torch.rand(1, 3, 64, 64), [(64, 64)]
    seen = all_.eval().rpn.find(all_.dense(images), images, sizes)[1][0]
    (kept,) = some.eval().rpn.find(some.dense(images), images, sizes)[1]
    assert 0 < len(kept) < len(seen)
    assert {tuple(box) for box in kept.tolist()} <= {tuple(box) for box in seen.tolist()}
    ((found, scores),) = none.eval().candidates(images, sizes)
    assert (len(found), len(scores)) == (0, 0)
    learned = [network.train().rpn.propose(images, sizes, _levels(network, images), [targets()])[0] for network in (all_, none)]
    torch.testing.assert_close(learned[0], learned[1])


def _levels(network: Any, images: Tensor) -> list[Tensor]:
    """Of a network whose norms stand still, so that two of them see the same."""
    return cast(list[Tensor], network.pyramid.eval()(network.backbone.eval()(images)))


@pytest.mark.parametrize("name", NETWORKS)
def test_heatmaps_change_nothing_before_training_and_then_learn(name: str) -> None:
    plain, guided = tiny(name).eval(), tiny(name, heatmaps=17)
    state = {key.replace("conv_stem.", "conv_stem.colours."): value for key, value in plain.state_dict().items()}
    assert set(guided.load_state_dict(state, strict=False).missing_keys) == {"backbone.net.conv_stem.extra.weight"}
    image, maps = torch.rand(1, 3, 64, 64), torch.rand(1, 17, 64, 64)
    before = guided.eval().candidates(torch.cat([image, maps], 1), [(64, 64)])
    torch.testing.assert_close(before, plain.candidates(image, [(64, 64)]))
    losses = guided.train()(torch.cat([image, maps], 1), [(64, 64)], [targets()])
    torch.stack(list(losses.values())).sum().backward()
    assert guided.backbone.net.conv_stem.extra.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_round_trip_and_refuse_others(name: str, tmp_path: Any) -> None:
    network = tiny(name).eval()
    path = str(tmp_path / "w.safetensors")
    header = WeightsHeader(name, asdict(network.architecture), {"classes": ["a", "b"]})
    save_weights(network, tmp_path / "w.safetensors", header, torch.float32)
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(
        load_network(name, path, ("a", "b"), "cpu").candidates(image, [(64, 64)]), network.candidates(image, [(64, 64)])
    )
    other = next(key for key in NETWORKS if key != name)
    with pytest.raises(InputError, match=f"weights of {name!r}, expected {other!r}"):
        load_network(other, path, None, "cpu")


def test_heatmaps_enter_networks_that_pad_on_the_way() -> None:
    network = build_network("gfl", GFLArchitecture(("a",), backbone="tf_efficientnet_lite0", levels=(3, 4), fpn_channels=8, heatmaps=17))
    with torch.no_grad():
        levels = network.backbone(torch.rand(1, 20, 64, 64))  # type: ignore[operator]
    assert [level.shape[-1] for level in levels] == [4, 2]


def test_swin_takes_any_size() -> None:
    network = build_network(
        "retinanet", RetinaNetArchitecture(("a",), backbone="swin_tiny_patch4_window7_224", levels=(1, 2, 3), fpn_channels=16)
    )
    with torch.no_grad():
        levels = network.backbone(torch.rand(1, 3, 72, 100))  # type: ignore[operator]
    assert [tuple(level.shape[1:]) for level in levels] == [(192, 9, 13), (384, 5, 7), (768, 3, 4)]


def test_anchors_between_the_thresholds_are_ignored_and_each_box_keeps_its_best() -> None:
    anchors = boxes((0, 0, 10, 10), (0, 0, 10, 4.5), (0, 0, 10, 3), (30, 30, 34, 34))
    target = Targets(boxes((0, 0, 10, 10), (30, 30, 40, 40)), torch.tensor([1, 2]), boxes())
    label, index = match_anchors(anchors, target, 0.5, 0.4)
    assert label.tolist() == [1, -1, 0, 2]  # IoU 1, 0.45, 0.3; and 0.16, the best there is
    assert index[0] == 0
    assert index[3] == 1


def test_atss_takes_candidates_above_mean_and_deviation_with_their_centre_inside() -> None:
    level = boxes(*((x, 0, x + 10, 10) for x in (0, 5, 10, 30)))
    label, index = match_atss([level], Targets(boxes((0, 0, 10, 10)), torch.tensor([3]), boxes()), nearest=3)
    # IoUs of the three nearest: 1, 1/3, 0; mean 0.444, deviation 0.509: only the first lies above 0.954.
    assert label.tolist() == [3, 0, 0, 0]
    assert index[0] == 0


def test_quality_focal_loss_by_hand() -> None:
    logits, quality = torch.zeros(2, 1), torch.tensor([[0.0], [0.8]])
    # Scores are 0.5: cross entropy ln 2 for both, weighted by 0.5² and 0.3².
    assert float(quality_focal_loss(logits, quality)) == pytest.approx(np.log(2) * (0.25 + 0.09), rel=1e-5)


def test_distances_in_strides() -> None:
    assert distances(boxes((2, 4, 20, 40)), torch.tensor([[10.0, 20.0]]), torch.tensor([[2.0]])).tolist() == [[4, 8, 5, 10]]


def test_regions_are_aligned_alike_on_one_and_on_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.networks.pooling.WORTH_SPLITTING", 1)
    random = np.random.default_rng(0)
    level = torch.from_numpy(random.normal(size=(2, 4, 20, 30)).astype(np.float32))
    low = random.uniform(0, 60, (200, 2))
    rois = torch.from_numpy(
        np.concatenate([random.integers(0, 2, (200, 1)), low, low + random.uniform(1, 80, (200, 2))], 1).astype(np.float32)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with torch.no_grad():
            found = align_regions(level, rois, 7, 0.25, 0)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found, roi_align(level, rois, 7, 0.25, 0, aligned=True))


@pytest.mark.parametrize(("samples", "aligned"), [(1, True), (2, True), (2, False), (3, False)])
def test_rows_of_channels_are_pooled_as_torchvision_does(samples: int, aligned: bool) -> None:
    random = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 5, *hw, generator=random) for hw in ((16, 20), (8, 10), (4, 5))]
    boxes = []
    for count in (60, 0):  # far outside, across the border, without area
        low = torch.rand(count, 2, generator=random) * 200 - 40
        boxes.append(torch.cat([low, low + (torch.rand(count, 2, generator=random) * 5).exp() - 1], 1))
    with torch.no_grad():
        for shown in (boxes, boxes[::-1], [box[:0] for box in boxes]):
            found = RegionPooling(levels, (4, 8, 16), 8.0, samples, aligned)(shown)
            with torch.enable_grad():
                expected = RegionPooling(levels, (4, 8, 16), 8.0, samples, aligned)(shown)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        broken = RegionPooling(levels, (4, 8, 16), 8.0, samples, aligned)([torch.full((1, 4), torch.nan), boxes[1]])
        assert broken.shape == (1, 5, 7, 7)


def test_bfloat16_moves_boxes_only_a_little() -> None:
    network = tiny("retinanet").eval()
    image = torch.rand(1, 3, 64, 64)
    ((_, one),) = find_candidates(network, image, [(64, 64)], "float32")
    ((second, two),) = find_candidates(network, image, [(64, 64)], "bfloat16")
    assert two.dtype == second.dtype == torch.float32
    assert not torch.equal(one, two)
    assert float(one.max()) == pytest.approx(float(two.max()), abs=0.01)

"""Converted checkpoints against outputs of mmdet itself (scripts/make_mmdet_fixtures.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seeded import sample, seeded_image, seeded_tensor
from torchvision.ops import box_iou

from detectors.conversion import TARGETS, convert
from detectors.suppression import Suppression, select_boxes

DATA = Path(__file__).parents[1] / "data"
NMS_IOU = {"cascade_rcnn_r50": 0.5, "cascade_rcnn_swin_t": 0.5, "retinanet_r50": 0.5, "gfl_x101_32x4d": 0.6}
# Relative to each value, beside this much in absolute terms: float32 over 50 to 100 layers.
TOLERANCE = 1e-4


def head_outputs(network: Any, pyramid: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Outputs of the dense head in mmdet's layout."""
    if hasattr(network, "rpn"):
        classes, boxes = network.rpn.head(pyramid)
    elif hasattr(network.head, "classification_head"):
        head = network.head
        classes = [head.classification_head.cls_logits(head.classification_head.conv(level)) for level in pyramid]
        boxes = [head.regression_head.bbox_reg(head.regression_head.conv(level)) for level in pyramid]
    else:
        flat_classes, flat_boxes = network.head(pyramid)
        classes, boxes = (
            [rows.view(1, *level.shape[2:], -1).permute(0, 3, 1, 2) for rows, level in zip(flat, pyramid, strict=True)]
            for flat in (flat_classes, flat_boxes)
        )
    named = {f"class{i}": level for i, level in enumerate(classes)}
    return named | {f"box{i}": level for i, level in enumerate(boxes)}


@pytest.mark.parametrize("target", sorted(NMS_IOU))
def test_converted_network_equals_mmdet(target: str) -> None:
    fixture = np.load(DATA / f"mmdet_{target}.npz")
    shapes = json.loads(str(fixture["shapes"]))
    tensors = {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in shapes.items()}
    classes = [f"class {i}" for i in range(80)]
    name, network = convert(tensors, target, classes, Path("seeded.pth"))
    assert name == TARGETS[target][0]
    image = seeded_image(*fixture["image_hw"].tolist())
    images = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        levels = network.backbone(images)  # type: ignore[operator, union-attr]
        pyramid = network.pyramid(levels)  # type: ignore[operator, union-attr]
        first = 4 - len(levels)  # mmdet's backbones give four levels, of which some pyramids leave out the finest
        outputs = {f"backbone{first + i}": level for i, level in enumerate(levels)}
        outputs |= {f"pyramid{i}": level for i, level in enumerate(pyramid)}
        outputs |= head_outputs(network, pyramid)
        candidates = network.candidates(images, [image.shape[:2]])  # type: ignore[operator, union-attr]
    for key, value in outputs.items():
        np.testing.assert_allclose(sample(value.numpy()), fixture[key], atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)
    thresholds = np.full(80, 0.05, np.float32)
    boxes, scores, labels = select_boxes(candidates, thresholds, Suppression("nms", NMS_IOU[target]), 100, image.shape[:2])
    assert len(boxes) == len(fixture["boxes"])
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(fixture["boxes"])).numpy()
    same = (labels[:, None] == fixture["labels"][None]) & (np.abs(scores[:, None] - fixture["scores"][None]) < 1e-3)
    partner = np.where(same, overlap, -1).argmax(1)
    assert len(set(partner.tolist())) == len(partner)
    assert np.abs(boxes - fixture["boxes"][partner]).max() < 0.5
    assert np.abs(scores - fixture["scores"][partner]).max() < 1e-3

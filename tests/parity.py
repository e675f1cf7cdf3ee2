"""A converted network against the fixture of mmdet's outputs: what the parity test and benchmarks/parity.py compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from seeded import sample, seeded_image, seeded_tensor
from torchvision.ops import box_iou

from detectors.networks.conversion import convert
from detectors.suppression import Suppression, select_boxes

DATA = Path(__file__).parent / "data"
NMS_IOU = {"cascade_rcnn_r50": 0.5, "cascade_rcnn_swin_t": 0.5, "retinanet_r50": 0.5, "gfl_x101_32x4d": 0.6}
CLASSES = [f"class {i}" for i in range(80)]


def differences(target: str) -> dict[str, float]:
    """Largest differences from mmdet: of the outputs of each kind of module, of boxes in pixels, and of scores.

    Outputs are compared in units of max(1, |value|); boxes with the mmdet box of the same class and nearly the same score
    that overlaps most, infinite where that is not one to one.
    """
    fixture = np.load(DATA / f"mmdet_{target}.npz")
    shapes = json.loads(str(fixture["shapes"]))
    tensors = {name: torch.from_numpy(np.asarray(seeded_tensor(name, tuple(shape)))) for name, shape in shapes.items()}
    _, network = convert(tensors, target, CLASSES, Path("seeded.pth"))
    image = seeded_image(*fixture["image_hw"].tolist())
    found: dict[str, float] = {}
    for key, value in outputs(network, image).items():
        wanted = fixture[key]
        kind = key.rstrip("0123456789")
        off = float((np.abs(sample(value.numpy()) - wanted) / np.maximum(1, np.abs(wanted))).max())
        found[kind] = max(off, found.get(kind, 0.0))
    return found | box_differences(network, image, fixture, NMS_IOU[target])


@torch.no_grad()
def outputs(network: Any, image: np.ndarray) -> dict[str, torch.Tensor]:
    """Outputs of the modules under the names of the fixture, in mmdet's layout."""
    levels = network.backbone(as_batch(image))
    pyramid = network.pyramid(levels)
    first = 4 - len(levels)  # mmdet's backbones give four levels, of which some pyramids leave out the finest
    named = {f"backbone{first + i}": level for i, level in enumerate(levels)}
    named |= {f"pyramid{i}": level for i, level in enumerate(pyramid)}
    if hasattr(network, "rpn"):
        classes, boxes = network.rpn.head(pyramid)
    elif hasattr(network.head, "classification_head"):
        head = network.head
        classes = [head.classification_head.cls_logits(head.classification_head.conv(level)) for level in pyramid]
        boxes = [head.regression_head.bbox_reg(head.regression_head.conv(level)) for level in pyramid]
    else:
        classes, boxes = (
            [rows.view(1, *level.shape[2:], -1).permute(0, 3, 1, 2) for rows, level in zip(flat, pyramid, strict=True)]
            for flat in network.head(pyramid)
        )
    return named | {f"class{i}": level for i, level in enumerate(classes)} | {f"box{i}": level for i, level in enumerate(boxes)}


def box_differences(network: Any, image: np.ndarray, fixture: Any, nms_iou: float) -> dict[str, float]:
    candidates = network.candidates(as_batch(image), [image.shape[:2]])
    thresholds = np.full(80, 0.05, np.float32)
    boxes, scores, labels = select_boxes(candidates, thresholds, Suppression("nms", nms_iou), 100, image.shape[:2])
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(fixture["boxes"])).numpy()
    same = (labels[:, None] == fixture["labels"][None]) & (np.abs(scores[:, None] - fixture["scores"][None]) < 1e-2)
    partner = np.where(same, overlap, -1).argmax(1)
    if len(boxes) != len(fixture["boxes"]) or len(set(partner.tolist())) != len(partner):
        return {"boxes_px": float("inf"), "scores": float("inf")}
    off_px = float(np.abs(boxes - fixture["boxes"][partner]).max())
    return {"boxes_px": off_px, "scores": float(np.abs(scores - fixture["scores"][partner]).max())}


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

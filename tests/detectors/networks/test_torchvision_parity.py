"""torchvision's own detectors, converted, find what torchvision's find, with random weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from seeded import seeded_image, seeded_tensor
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection._utils import overwrite_eps
from torchvision.ops.misc import FrozenBatchNorm2d

from detectors.networks import load_network
from detectors.networks.conversion import convert, to_network
from detectors.suppression import Suppression, select_boxes
from parsing.errors import InputError
from parsing.networks.checkpoints import read_checkpoint
from pipelines.convert import build_parser, main

HERE = Path("seeded.pth")
HW = 128, 160
Build = Callable[..., torch.nn.Module]
# What torchvision builds, what it converts to, and how many convolutions of files from before 0.14 have other names.
MODELS: dict[str, tuple[Build, str, int]] = {
    "faster_rcnn": (detection.fasterrcnn_resnet50_fpn, "faster_rcnn_r50_v1", 9),
    "faster_rcnn_v2": (detection.fasterrcnn_resnet50_fpn_v2, "faster_rcnn_r50_v2", 0),
    "mask_rcnn": (detection.maskrcnn_resnet50_fpn, "faster_rcnn_r50_v1", 9),
    "keypoint_rcnn": (detection.keypointrcnn_resnet50_fpn, "faster_rcnn_r50_v1", 9),
    "retinanet": (detection.retinanet_resnet50_fpn, "retinanet_r50_v1", 14),
    "retinanet_v2": (detection.retinanet_resnet50_fpn_v2, "retinanet_r50_v2", 0),
}


def reference(name: str) -> torch.nn.Module:
    """As its published weights are run: sure of itself, with norms that say something, frozen and without epsilon in version 1."""
    torch.manual_seed(0)
    build, target, _ = MODELS[name]
    frozen = {"norm_layer": FrozenBatchNorm2d} if target.endswith("v1") else {}
    model = build(weights=None, weights_backbone=None, min_size=HW[0], max_size=HW[1])
    if frozen:
        _freeze(model)
    second = name.endswith("v2")
    class_logits, dense_logits = (300.0, 20.0) if second else (3.0, 0.5)  # so that scores lie apart
    for key, value in model.state_dict().items():
        if "backbone.body" in key:
            value.copy_(torch.from_numpy(np.asarray(seeded_tensor(key, tuple(value.shape)))))
        elif value.dim() > 1:  # what follows sees activations of about the same size
            gain = (
                class_logits
                if "cls_score" in key
                else dense_logits
                if "cls_logits" in key
                else 0.02
                if "bbox" in key
                else 0.5
                if "fpn" in key
                else 1.5
            )
            value.copy_(torch.randn_like(value) * (gain / value[0].numel()) ** 0.5)
    return model.eval()


def _freeze(module: torch.nn.Module) -> None:
    """FrozenBatchNorm2d in place of the backbone's norms, as torchvision has it where weights are asked for."""
    for parent in module.backbone.body.modules():  # type: ignore[union-attr, operator]
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(parent, name, FrozenBatchNorm2d(child.num_features))
    overwrite_eps(module, 0.0)


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Files from before torchvision 0.14, which is what was published first."""
    found = {}
    for name, tensor in tensors.items():
        name = re.sub(r"(inner_blocks|layer_blocks)\.(\d)\.0\.", r"\1.\2.", name)
        name = re.sub(r"rpn\.head\.conv\.0\.0\.", "rpn.head.conv.", name)
        name = re.sub(r"(\w+_head\.conv)\.(\d)\.0\.", lambda m: f"{m[1]}.{2 * int(m[2])}.", name)
        found[name] = tensor
    return found


@torch.inference_mode()
@pytest.mark.parametrize("name", MODELS)
def test_boxes_equal_torchvisions(name: str) -> None:
    model = reference(name)
    tensors = model.state_dict()
    _, target, num_renamed = MODELS[name]
    if num_renamed:
        old = old_names(tensors)
        assert len(old.keys() - tensors.keys()) == 2 * num_renamed
        model.load_state_dict(old)  # torchvision reads them, so they are what it wrote
        tensors = old
    if "rcnn" in name:  # their boxes are the same without masks and keypoints
        model.roi_heads.mask_roi_pool = model.roi_heads.keypoint_roi_pool = None
    network: Any
    network, component, labels = to_network(tensors, {}, "torchvision", target, [], HERE)
    assert component == target.rpartition("_r50")[0]
    image = seeded_image(*HW)
    wanted = model([torch.from_numpy(image).permute(2, 0, 1) / 255])[0]
    candidates = network.candidates(torch.from_numpy(image).permute(2, 0, 1)[None] / 255, [image.shape[:2]])
    count = 100 if "rcnn" in name else 300
    limits = np.full(len(labels["classes"]), 0.05, np.float32)
    boxes, scores, classes = select_boxes(candidates, limits, Suppression("nms", 0.5), count, image.shape[:2])
    assert len(boxes) == len(wanted["boxes"]) > 20
    first = 0 if "retinanet" in name else 1
    np.testing.assert_allclose(scores, wanted["scores"].numpy(), atol=2e-3)
    assert shared(boxes, classes + first, wanted) == 1


def shared(boxes: np.ndarray, classes: np.ndarray, wanted: dict[str, Tensor]) -> float:
    """Share of torchvision's boxes that are among these, of the same class and to half a pixel."""
    found = [
        bool(((classes == label) & (np.abs(boxes - box).max(1) < 0.5)).any())
        for box, label in zip(wanted["boxes"].numpy(), wanted["labels"].numpy(), strict=True)
    ]
    return float(np.mean(found))


def test_the_command_line_converts_and_the_stage_runs(tmp_path: Path) -> None:
    torch.save({"model": reference("faster_rcnn").state_dict(), "epoch": 25}, tmp_path / "fasterrcnn.pth")
    out = tmp_path / "f.safetensors"
    command = ["torchvision", str(tmp_path / "fasterrcnn.pth"), "--to", "faster_rcnn_r50_v1", "--out", str(out), "--quiet"]
    assert main(build_parser().parse_args(command)) == 0
    network = load_network("faster_rcnn", str(out), None, "cpu")
    assert network.architecture.class_names[:2] == ("person", "bicycle")
    assert network.architecture.class_names[11] == "unused 12"
    with pytest.raises(InputError, match=r"80 names for 90 classes of the checkpoint$"):
        main(build_parser().parse_args([*command, "--overwrite", "--classes", "coco"]))
    with pytest.raises(InputError, match=r"not a checkpoint of faster_rcnn_r50_v2: \d+ missing"):
        convert(read_checkpoint(tmp_path / "fasterrcnn.pth")[0], "faster_rcnn_r50_v2", [str(i) for i in range(90)], HERE)

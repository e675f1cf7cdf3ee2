"""Checkpoints of detectors as weights of this project: OpenMMLab's and torchvision's.

Names are rewritten by rule; three things are stored in another order: mmdet's last class is the background, its
Swin merges patches channel by channel, and each level's scale is a tensor of its own. torchvision's published weights of
version 1 have frozen norms without the usual epsilon, which is taken from their variances here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models._meta import _COCO_CATEGORIES

from detectors.networks import NetworkName, build_network, parse_architecture
from detectors.networks.architectures import DetectorArchitecture
from parsing.errors import InputError
from parsing.label_lists import label_list, labels_for
from parsing.networks.checkpoints import Rule, fill, rewrite
from parsing.networks.converters import Converted

_SWIN = {"levels": [0, 1, 2, 3], "shorter_px": 800}
# What a converted checkpoint becomes: network, and fields of its architecture.
TARGETS: dict[str, tuple[NetworkName, dict[str, Any]]] = {
    "cascade_rcnn_r50": ("cascade_rcnn", {"backbone": "resnet50", "shorter_px": 800}),
    "cascade_rcnn_r101": ("cascade_rcnn", {"backbone": "resnet101", "shorter_px": 800}),
    "cascade_rcnn_x101_32x4d": ("cascade_rcnn", {"backbone": "resnext101_32x4d", "shorter_px": 800}),
    "cascade_rcnn_swin_t": ("cascade_rcnn", {"backbone": "swin_tiny_patch4_window7_224", **_SWIN}),
    "cascade_rcnn_swin_s": ("cascade_rcnn", {"backbone": "swin_small_patch4_window7_224", **_SWIN}),
    "cascade_rcnn_swin_b": ("cascade_rcnn", {"backbone": "swin_base_patch4_window7_224", **_SWIN}),
    "cascade_rcnn_swin_l": ("cascade_rcnn", {"backbone": "swin_large_patch4_window7_224", **_SWIN}),
    "retinanet_r50": ("retinanet", {"backbone": "resnet50", "shorter_px": 800}),
    "gfl_r50": ("gfl", {"backbone": "resnet50", "shorter_px": 800}),
    "gfl_x101_32x4d": ("gfl", {"backbone": "resnext101_32x4d", "shorter_px": 800}),
}
_COCO: dict[str, Any] = {"backbone": "resnet50", "shorter_px": 800}
TORCHVISION_TARGETS: dict[str, tuple[NetworkName, dict[str, Any]]] = {
    "faster_rcnn_r50_v1": ("faster_rcnn", _COCO),
    "faster_rcnn_r50_v2": ("faster_rcnn", {**_COCO, "version": 2}),
    "retinanet_r50_v1": ("retinanet", {**_COCO, "rounded_anchors": True, "coarse": "on_output"}),
    "retinanet_r50_v2": ("retinanet", {**_COCO, "rounded_anchors": True, "head_norm": "group"}),
}
NORM_EPS = 1e-5  # of batch norms here
_LEVELS = r"(\d+)\.conv\.(weight|bias)$"
_RULES: tuple[tuple[str, str], ...] = (
    (r"^backbone\.patch_embed\.projection\.", "backbone.net.patch_embed.proj."),
    (r"^backbone\.norm(\d)\.", r"backbone.output_norms.\1."),
    (r"^backbone\.stages\.(\d)\.blocks\.(\d+)\.attn\.w_msa\.", r"backbone.net.layers_\1.blocks.\2.attn."),
    (r"^backbone\.stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.0\.0\.", r"backbone.net.layers_\1.blocks.\2.mlp.fc1."),
    (r"^backbone\.stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.1\.", r"backbone.net.layers_\1.blocks.\2.mlp.fc2."),
    (r"^backbone\.stages\.(\d)\.blocks\.(\d+)\.", r"backbone.net.layers_\1.blocks.\2."),
    (r"^backbone\.", "backbone.net."),
    (rf"^neck\.lateral_convs\.{_LEVELS}", r"pyramid.fpn.inner_blocks.\1.0.\2"),
    (rf"^neck\.fpn_convs\.{_LEVELS}", r"pyramid.fpn.layer_blocks.\1.0.\2"),
    (r"^rpn_head\.rpn_conv\.", "rpn.head.conv.0.0."),
    (r"^rpn_head\.rpn_cls\.", "rpn.head.cls_logits."),
    (r"^rpn_head\.rpn_reg\.", "rpn.head.bbox_pred."),
    (r"^roi_head\.bbox_head\.(\d)\.shared_fcs\.0\.", r"heads.\1.fc1."),
    (r"^roi_head\.bbox_head\.(\d)\.shared_fcs\.1\.", r"heads.\1.fc2."),
    (r"^roi_head\.bbox_head\.(\d)\.fc_cls\.", r"heads.\1.classify."),
    (r"^roi_head\.bbox_head\.(\d)\.fc_reg\.", r"heads.\1.regress."),
)
_DENSE_RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "cascade_rcnn": (),
    "retinanet": (
        (r"^bbox_head\.cls_convs\.(\d)\.conv\.", r"head.classification_head.conv.\1.0."),
        (r"^bbox_head\.reg_convs\.(\d)\.conv\.", r"head.regression_head.conv.\1.0."),
        (r"^bbox_head\.retina_cls\.", "head.classification_head.cls_logits."),
        (r"^bbox_head\.retina_reg\.", "head.regression_head.bbox_reg."),
    ),
    "gfl": (
        (r"^bbox_head\.cls_convs\.(\d)\.conv\.", r"head.class_convs.\1.conv."),
        (r"^bbox_head\.reg_convs\.(\d)\.conv\.", r"head.box_convs.\1.conv."),
        (r"^bbox_head\.cls_convs\.(\d)\.gn\.", r"head.class_convs.\1.norm."),
        (r"^bbox_head\.reg_convs\.(\d)\.gn\.", r"head.box_convs.\1.norm."),
        (r"^bbox_head\.gfl_cls\.", "head.classify."),
        (r"^bbox_head\.gfl_reg\.", "head.regress."),
    ),
}
# The latter three are of files from before torchvision 0.14.
_TORCHVISION: tuple[Rule, ...] = (
    (r"^backbone\.body\.", "backbone.net."),
    (r"^backbone\.fpn\.", "pyramid.fpn."),
    (r"^roi_heads\.box_", "box_"),
    (r"\.(inner_blocks|layer_blocks)\.(\d)\.(weight|bias)$", r".\1.\2.0.\3"),
    (r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1"),
    (r"^(head\.\w+_head\.conv)\.(\d)\.(weight|bias)$", lambda found: f"{found[1]}.{int(found[2]) // 2}.0.{found[3]}"),
)
# Tensors that follow from the architecture, and branches of masks and keypoints, which boxes do not need.
_DROPPED = re.compile(
    r"relative_position_index$|^bbox_head\.integral\.|^roi_head\.mask_head\.|^roi_heads\.(mask|keypoint)_|^data_preprocessor\."
)
# Biases of the layers that say how many classes there are: background classes, anchors of a position.
_CLASS_LAYERS = (
    ("roi_head.bbox_head.0.fc_cls.bias", 1, 1),
    ("bbox_head.retina_cls.bias", 0, 9),
    ("bbox_head.gfl_cls.bias", 0, 1),
    ("roi_heads.box_predictor.cls_score.bias", 1, 1),
    ("head.classification_head.cls_logits.bias", 9, 9),  # the background has anchors, too
)
_SCALE = re.compile(r"^bbox_head\.scales\.(\d)\.scale$")
_DOWNSAMPLE = re.compile(r"^backbone\.stages\.(\d)\.downsample\.(reduction|norm)\.(weight|bias)$")


def targets() -> dict[str, Collection[str]]:
    """What the checkpoints of each library can become."""
    return {"mmdet": TARGETS, "torchvision": TORCHVISION_TARGETS}


def to_network(
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    origin: str,
    target: str,
    classes: Sequence[str],
    path: Path,
) -> Converted:
    """See `Conversion.to_network`."""
    count = num_classes_of(tensors, path)
    names = _torchvision_names(count) if origin == "torchvision" and not classes else class_names_of(meta, count, classes)
    if target.startswith("retinanet") and origin == "torchvision":
        names = ("unused 0", *names)
    component, network = convert(tensors, target, names, path)
    return network, component, {"classes": list(names)}


def class_names_of(meta: Mapping[str, Any], num_classes: int, given: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes: those given, those in the checkpoint's `meta`, COCO's where there are 80.

    Raises:
        InputError: none of these fits the number of classes.
    """
    dataset = meta.get("dataset_meta")
    listed = (dataset.get("classes", dataset.get("CLASSES", ())) if isinstance(dataset, dict) else ()) or meta.get("CLASSES", ())
    names = [listed] if isinstance(listed, str) else listed if isinstance(listed, (list, tuple)) else []
    return labels_for(num_classes, given, tuple(map(str, names)) or (label_list("coco") if num_classes == 80 else ()))


def _torchvision_names(count: int) -> tuple[str, ...]:
    """torchvision numbers COCO's categories by their ids, which leave some out; its keypoint networks know persons alone."""
    named = tuple(f"unused {i}" if name == "N/A" else name for i, name in enumerate(_COCO_CATEGORIES))[1:]
    return labels_for(count, (), {len(named): named, 1: ("person",)}.get(count, ()))


def num_classes_of(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Classes of a detector, background not counted."""
    for name, extra, anchors in _CLASS_LAYERS:
        if name in tensors:
            return (len(tensors[name]) - extra) // anchors
    raise InputError(f"{path}: no classification layer of a detector in it")


def convert(tensors: Mapping[str, Tensor], target: str, class_names: Sequence[str], path: Path) -> tuple[NetworkName, nn.Module]:
    """A network filled with a checkpoint's tensors.

    Args:
        tensors: the library's state dict.
        target: a name in TARGETS or TORCHVISION_TARGETS.
        path: of the checkpoint, for messages.

    Raises:
        InputError: tensors are missing, left over, or of another shape; names the first of each.
    """
    name, fields = (TARGETS | TORCHVISION_TARGETS)[target]
    architecture: DetectorArchitecture = parse_architecture(name, {**fields, "class_names": list(class_names)}, target)
    network = build_network(name, architecture)
    renamed = _renamed_torchvision(tensors) if target in TORCHVISION_TARGETS else _renamed(tensors, name)
    fill(network, renamed, target, path)
    return name, network.eval()


def _renamed_torchvision(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {rewrite(name, _TORCHVISION): tensor for name, tensor in tensors.items() if not _DROPPED.search(name)}
    if "backbone.net.bn1.num_batches_tracked" not in found:  # frozen norms
        found = {name: tensor - NORM_EPS if name.endswith("running_var") else tensor for name, tensor in found.items()}
    return found


def _renamed(tensors: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    scales = {}
    num_levels = sum(name.startswith("neck.lateral_convs.") and name.endswith(".weight") for name in tensors)
    for name, tensor in tensors.items():
        if _DROPPED.search(name):
            continue
        if scale := _SCALE.match(name):
            scales[int(scale.group(1))] = tensor
        elif merge := _DOWNSAMPLE.match(name):
            stage, layer, kind = merge.groups()
            found[f"backbone.net.layers_{int(stage) + 1}.downsample.{layer}.{kind}"] = _merged_order(tensor)
        else:
            new = _extra_level(_rewrite(name, network), num_levels)
            found[new] = torch.cat([tensor[-1:], tensor[:-1]]) if ".classify." in new and network == "cascade_rcnn" else tensor
    if scales:
        found["head.scales"] = torch.stack([scales[i].reshape(()) for i in sorted(scales)])
    return found


def _rewrite(name: str, network: str) -> str:
    for pattern, replacement in (*_RULES, *_DENSE_RULES[network]):
        new, count = re.subn(pattern, replacement, name)
        if count:
            return new
    return name


def _extra_level(name: str, num_levels: int) -> str:
    """mmdet lists the coarser levels' convolutions after the pyramid's own."""
    found = re.match(r"pyramid\.fpn\.layer_blocks\.(\d+)\.0\.(weight|bias)$", name)
    if found is None or int(found.group(1)) < num_levels:
        return name
    return f"pyramid.fpn.extra_blocks.p{6 + int(found.group(1)) - num_levels}.{found.group(2)}"


def _merged_order(tensor: Tensor) -> Tensor:
    """Channels of a patch merging from mmdet's order (channel, then row, column) to Swin's (column, row, then channel)."""
    rows = tensor.reshape(-1, tensor.shape[-1] // 4, 4).transpose(1, 2)[:, [0, 2, 1, 3]]
    return rows.reshape(tensor.shape)

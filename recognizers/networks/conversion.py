"""Public checkpoints of recognizers as weights of this project: mmaction2, torchvision, PyTorchVideo, PySlowFast, transformers and
PyTorch-MFNet.

Names are rewritten by rule (`tensor_names`); the order of tensors' values is the same on both sides, but for the classifier of
PyTorchVideo's and PySlowFast's SlowFast, and attention of MViT. PyTorchVideo's R(2+1)D is made of bottlenecks and not read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.label_lists import labels_for
from parsing.networks.checkpoints import fill, rewrite
from parsing.networks.converters import Converted
from recognizers.networks import NetworkName, parse_architecture
from recognizers.networks.mvit import MViT
from recognizers.networks.reference import S3D
from recognizers.networks.slowfast import SlowFast
from recognizers.networks.tensor_names import RULES, Origin

_POOLED: dict[str, Any] = {"layout": "pooled", "colours": "imagenet", "input_px": 224}
# What a converted checkpoint becomes: network, and fields of its architecture.
TARGETS: dict[str, tuple[NetworkName, dict[str, Any]]] = {
    "slowfast_r50_4x16": ("slowfast", {}),
    "slowfast_r50_8x8": ("slowfast", {"alpha": 4, "lateral_kernel": 7}),
    "slowfast_r101_4x16": ("slowfast", {"depth": 101}),
    "slowfast_r101_r50_4x16": ("slowfast", {"depth": 101, "fast_depth": 50}),
    "slowfast_r101_8x8": ("slowfast", {"depth": 101, "alpha": 4, "lateral_kernel": 7}),
    "csn_ir_50": ("csn", {"depth": 50}),
    "csn_ir_101": ("csn", {"depth": 101}),
    "csn_ir_152": ("csn", {}),
    "csn_ip_152": ("csn", {"mode": "ip"}),
    "tanet_r50": ("tanet", {}),
    "tanet_r50_16": ("tanet", {"segments": 16}),
    "tsm_r50": ("tsm", {"backbone": "resnet50", "num_segments": 8}),
    "tsm_r50_16": ("tsm", {"backbone": "resnet50", "num_segments": 16}),
    "tsm_r101": ("tsm", {"backbone": "resnet101", "num_segments": 8}),
    "uniformer_small": ("uniformer", {"size": "small"}),
    "uniformer_base": ("uniformer", {"size": "base"}),
    "uniformer_base_32": ("uniformer", {"size": "base", "frames": 32}),
    "video_swin_tiny": ("video_swin", {"size": "tiny"}),
    "video_swin_small": ("video_swin", {"size": "small"}),
    "video_swin_base": ("video_swin", {"size": "base"}),
    "video_swin_large": ("video_swin", {"size": "large"}),
    "r2plus1d_18": ("r2plus1d", {"depth": 18, "frames": 16}),
    "r2plus1d_34": ("r2plus1d", {}),
    "r2plus1d_34_pooled_8x8": ("r2plus1d", _POOLED | {"frames": 8, "interval": 8}),
    "r2plus1d_34_pooled_32x2": ("r2plus1d", _POOLED),
    "mvit_v1_base": ("mvit", {"size": "v1_base"}),
    "mvit_v1_base_32x3": ("mvit", {"size": "v1_base", "frames": 32, "interval": 3}),
    "mvit_v1_base_24_32x3": ("mvit", {"size": "v1_base_24", "frames": 32, "interval": 3}),
    "mvit_v2_small": ("mvit", {"size": "v2_small"}),
    "mvit_v2_base": ("mvit", {"size": "v2_base", "frames": 32, "interval": 3}),
    "mvit_v2_base_uniform": ("mvit", {"size": "v2_base", "frames": 32, "sampler": "uniform"}),
    "s3d": ("s3d", {}),
    "r3d_18": ("r3d", {}),
    "resnet3d_50_4x16": ("resnet3d", {"frames": 4, "interval": 16}),
    "resnet3d_50_8x8": ("resnet3d", {}),
    "resnet3d_101_8x8": ("resnet3d", {"depth": 101}),
    "mfnet": ("mfnet", {}),
    "timesformer_base": ("timesformer", {}),
    "timesformer_hr": ("timesformer", {"frames": 16, "interval": 16, "input_px": 448}),
}
_SLOWFAST: dict[str, Any] = {"slow_frames": "spread", "lateral_norm": True, "colours": "middle"}
# How what a library has weights of differs from the above.
DIFFERING: dict[Origin, dict[str, dict[str, Any]]] = {
    "mmaction2": {"mvit_v2_small": {"colours": "imagenet"}},
    "pytorchvideo": {
        "slowfast_r50_4x16": _SLOWFAST,
        "slowfast_r50_8x8": _SLOWFAST,
        "slowfast_r101_8x8": _SLOWFAST | {"lateral_kernel": 5},
        "csn_ir_101": {"norm_eps": 1e-5, "colours": "middle"},
        "resnet3d_50_8x8": {"colours": "middle"},
        "mvit_v1_base": {},
        "mvit_v1_base_32x3": {},
    },
    "pyslowfast": {
        "slowfast_r50_4x16": _SLOWFAST,
        "slowfast_r50_8x8": _SLOWFAST,
        "resnet3d_50_4x16": {"colours": "middle"},
        "resnet3d_50_8x8": {"colours": "middle"},
        "mvit_v1_base": {},
        "mvit_v1_base_32x3": {},
        "mvit_v1_base_24_32x3": {},
        "mvit_v2_small": {},
        "mvit_v2_base": {},
    },
    "transformers": {"timesformer_base": {"colours": "middle"}, "timesformer_hr": {"colours": "middle"}},
}
LISTED: tuple[Origin, ...] = ("pytorchvideo", "pyslowfast", "transformers")  # which have weights of what is named above alone
_CLASSIFIERS = (
    "cls_head.fc_cls.bias", "head.bias", "fc.bias", "classifier.bias", "classifier.1.bias", "blocks.6.proj.bias", "blocks.5.proj.bias",
    "head.projection.bias", "head.proj.bias", "head.1.bias",
)  # fmt: skip
_DROPPED = re.compile(r"^data_preprocessor\.|relative_position_index$")


def targets() -> dict[str, Collection[str]]:
    """What the checkpoints of each library can become."""
    return {
        origin: list(DIFFERING[origin]) if origin in LISTED else [name for name, (network, _) in TARGETS.items() if network in rules]
        for origin, rules in RULES.items()
    }


def to_network(
    tensors: Mapping[str, Tensor], meta: Mapping[str, Any], origin: Origin, target: str, classes: Sequence[str], path: Path
) -> Converted:
    """See `Conversion.to_network`."""
    names = labels_for(num_actions_of(tensors, path), classes, meta.get("CLASSES", ()))
    return convert(tensors, origin, target, names, path), TARGETS[target][0], {"actions": list(names)}


def num_actions_of(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Classes of a recognizer.

    Raises:
        InputError: there is no classification layer.
    """
    for name in _CLASSIFIERS:
        if name in tensors:
            return len(tensors[name])
    raise InputError(f"{path}: no classification layer of a recognizer in it")


def convert(tensors: Mapping[str, Tensor], origin: Origin, target: str, actions: Sequence[str], path: Path) -> nn.Module:
    """A network filled with a checkpoint's tensors.

    Args:
        tensors: the library's state dict.
        origin, target: one of `targets`.
        actions: names of the classes, in the checkpoint's order.
        path: of the checkpoint, for messages.

    Raises:
        InputError: tensors are missing, left over, or of another shape.
    """
    name, fields = TARGETS[target]
    fields = fields | DIFFERING.get(origin, {}).get(target, {})
    network = parse_architecture(name, fields, target).build(actions)
    computed = {key: value for key, value in network.state_dict().items() if _DROPPED.search(key)}
    renamed = {rewrite(key, RULES[origin][name]): value for key, value in tensors.items() if not _DROPPED.search(key)}
    if isinstance(network, SlowFast) and origin in ("pytorchvideo", "pyslowfast"):
        renamed = _fast_first(renamed, network.fast.out_channels)
    if isinstance(network, MViT):
        renamed = _joined(renamed)
    if isinstance(network, S3D):
        renamed = {key: value.flatten(1) if key == "trunk.classifier.1.weight" else value for key, value in renamed.items()}
    fill(network, renamed | computed, target, path)
    return network.eval()


def _fast_first(tensors: dict[str, Tensor], num_fast: int) -> dict[str, Tensor]:
    """The classifier's columns with the fast pathway's in front, which its authors have behind the slow one's."""
    return {key: torch.roll(value, num_fast, 1) if key == "classifier.weight" else value for key, value in tensors.items()}


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """MViT's tensors with one layer for queries, keys and values, and positions without axes of one."""
    joined = {key: value for key, value in tensors.items() if not re.search(r"\.attn\.[qkv]\.", key)}
    for key in tensors:
        if ".attn.q." in key:
            parts = [tensors.get(key.replace(".q.", f".{part}.")) for part in "qkv"]
            joined[key.replace(".q.", ".qkv.")] = torch.cat([part for part in parts if part is not None])
    return {key: value.squeeze() if ".pos_encoding." in key else value for key, value in joined.items()}

"""Public checkpoints of recognizers as weights of this project: mmaction2, torchvision, PyTorchVideo.

Names are rewritten by rule; the order of tensors' values is the same on both sides, but for the classifier of PyTorchVideo's
SlowFast. mmaction2's own R(2+1)D counts its widths in another way than the published one, which torchvision follows;
PyTorchVideo's is made of bottlenecks. Neither is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from parsing.errors import InputError
from parsing.label_lists import labels_for
from parsing.networks.checkpoints import Rule, fill, rewrite
from parsing.networks.converters import Converted
from recognizers.networks import NetworkName, parse_architecture
from recognizers.networks.slowfast import SlowFast

Origin = Literal["mmaction2", "torchvision", "pytorchvideo"]


def _one_less(prefix: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{prefix}{int(found[1]) - 1}."


def _doubled(found: re.Match[str]) -> str:
    """Stages of Swin lie between the mergings of patches in one list."""
    return f"trunk.features.{2 * int(found[1])}."


def _pathway(found: re.Match[str]) -> str:
    return f"{'fast' if int(found[2]) else 'slow'}.stages.{int(found[1]) - 1}."


def _bottleneck(found: re.Match[str]) -> str:
    return f".conv{'abc'.index(found[2]) + 1}.{int(found[1] == 'norm')}."


_HEAD: Rule = (r"^cls_head\.fc_cls\.", "classifier.")
_RESNET3D: tuple[Rule, ...] = (
    (r"\.layer(\d)\.", _one_less(".stages.")),
    (r"\.conv\.(weight|bias)$", r".0.\1"),
    (r"\.bn\.(\w+)$", r".1.\1"),
)
_RESNET2D: tuple[Rule, ...] = (
    (r"conv(\d)\.conv\.(net\.)?(\w+)$", r"conv\1.\3"),
    (r"conv(\d)\.bn\.", r"bn\1."),
    (r"downsample\.conv\.", "downsample.0."),
    (r"downsample\.bn\.", "downsample.1."),
)
_MMACTION: dict[NetworkName, tuple[Rule, ...]] = {
    "slowfast": (
        (r"^backbone\.slow_path\.conv1_lateral\.conv\.", "lateral.0."),
        (r"^backbone\.slow_path\.layer(\d)_lateral\.conv\.", r"lateral.\1."),
        (r"^backbone\.(slow|fast)_path\.conv1\.", r"\1.stem."),
        (r"^backbone\.(slow|fast)_path\.", r"\1."),
        *_RESNET3D,
        _HEAD,
    ),
    "csn": ((r"^backbone\.conv1\.", "trunk.stem."), (r"^backbone\.", "trunk."), *_RESNET3D, _HEAD),
    "tanet": ((r"^backbone\.", "trunk."), (r"\.tam\.", ".act1.1.tam."), (r"\.block\.", "."), *_RESNET2D, _HEAD),
    "tsm": ((r"^backbone\.", "backbone.net."), *_RESNET2D, _HEAD),
    "uniformer": (
        (r"^backbone\.patch_embed(\d)\.", _one_less("embeddings.")),
        (r"^backbone\.blocks(\d)\.", _one_less("stages.")),
        (r"\.attn\.(qkv|proj)\.", r".\1."),
        (r"\.mlp\.", "."),
        (r"^backbone\.norm\.", "norm."),
        _HEAD,
    ),
    "video_swin": (
        (r"^backbone\.layers\.(\d)\.downsample\.", lambda found: f"trunk.features.{2 * int(found[1]) + 1}."),
        (r"^backbone\.layers\.(\d)\.blocks\.", _doubled),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
        (r"^backbone\.norm3\.", "trunk.norm."),
        (r"^backbone\.", "trunk."),
        (r"^cls_head\.fc_cls\.", "trunk.head.1."),
    ),
}
_TORCHVISION: dict[NetworkName, tuple[Rule, ...]] = {
    "video_swin": ((r"^head\.", "head.1."), (r"^", "trunk.")),
    "r2plus1d": ((r"^fc\.", "fc.1."), (r"^", "trunk.")),
}
_BOTTLENECK: tuple[Rule, ...] = (
    (r"\.branch1_conv\.", ".downsample.0."),
    (r"\.branch1_norm\.", ".downsample.1."),
    (r"\.branch2\.(conv|norm)_([abc])\.", _bottleneck),
    (r"^blocks\.\d\.proj\.", "classifier."),
)
_PYTORCHVIDEO: dict[NetworkName, tuple[Rule, ...]] = {
    "slowfast": (
        (r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.", r"lateral.\1.0.0."),
        (r"^blocks\.(\d)\.multipathway_fusion\.norm\.", r"lateral.\1.0.1."),
        (r"^blocks\.0\.multipathway_blocks\.0\.", "slow.stem."),
        (r"^blocks\.0\.multipathway_blocks\.1\.", "fast.stem."),
        (r"\.stem\.conv\.", ".stem.0."),
        (r"\.stem\.norm\.", ".stem.1."),
        (r"^blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.", _pathway),
        *_BOTTLENECK,
    ),
    "csn": (
        (r"^blocks\.0\.conv\.", "trunk.stem.0."),
        (r"^blocks\.0\.norm\.", "trunk.stem.1."),
        (r"^blocks\.(\d)\.res_blocks\.", _one_less("trunk.stages.")),
        *_BOTTLENECK,
        (r"\.conv2\.", ".conv2.0."),
    ),
}
RULES: dict[Origin, dict[NetworkName, tuple[Rule, ...]]] = {
    "mmaction2": _MMACTION,
    "torchvision": _TORCHVISION,
    "pytorchvideo": _PYTORCHVIDEO,
}
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
}
_SLOWFAST: dict[str, Any] = {"slow_frames": "spread", "lateral_norm": True, "colours": "middle"}
# Targets that PyTorchVideo has weights of, and how they differ from the above.
PYTORCHVIDEO_TARGETS: dict[str, dict[str, Any]] = {
    "slowfast_r50_4x16": _SLOWFAST,
    "slowfast_r50_8x8": _SLOWFAST,
    "slowfast_r101_8x8": _SLOWFAST | {"lateral_kernel": 5},
    "csn_ir_101": {"norm_eps": 1e-5, "colours": "middle"},
}
_DROPPED = re.compile(r"^data_preprocessor\.|relative_position_index$")


def targets() -> dict[str, Collection[str]]:
    """What the checkpoints of each library can become."""
    found: dict[str, Collection[str]] = {o: [name for name, (network, _) in TARGETS.items() if network in RULES[o]] for o in RULES}
    return {**found, "pytorchvideo": PYTORCHVIDEO_TARGETS}


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
    for name in ("cls_head.fc_cls.bias", "head.bias", "fc.bias", "blocks.6.proj.bias", "blocks.5.proj.bias"):
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
    if origin == "pytorchvideo":
        fields = fields | PYTORCHVIDEO_TARGETS[target]
    network = parse_architecture(name, fields, target).build(len(actions))
    computed = {key: value for key, value in network.state_dict().items() if _DROPPED.search(key)}
    renamed = {rewrite(key, RULES[origin][name]): value for key, value in tensors.items() if not _DROPPED.search(key)}
    if isinstance(network, SlowFast) and origin == "pytorchvideo":
        renamed = _fast_first(renamed, network.fast.out_channels)
    fill(network, renamed | computed, target, path)
    return network.eval()


def _fast_first(tensors: dict[str, Tensor], num_fast: int) -> dict[str, Tensor]:
    """The classifier's columns with the fast pathway's in front; PyTorchVideo has them behind the slow one's."""
    return {key: torch.roll(value, num_fast, 1) if key == "classifier.weight" else value for key, value in tensors.items()}

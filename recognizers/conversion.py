"""Public checkpoints of recognizers as weights of this project: mmaction2, torchvision.

Names are rewritten by rule; the order of tensors' values is the same on both sides. mmaction2's own R(2+1)D counts its
widths in another way than the published one, which torchvision follows, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from parsing.checkpoints import fill
from parsing.errors import InputError
from recognizers.networks import NetworkName, parse_architecture

Origin = Literal["mmaction2", "torchvision"]
Rule = tuple[str, str | Callable[[re.Match[str]], str]]


def _one_less(prefix: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{prefix}{int(found[1]) - 1}."


def _doubled(found: re.Match[str]) -> str:
    """Stages of Swin lie between the mergings of patches in one list."""
    return f"trunk.features.{2 * int(found[1])}."


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
RULES: dict[Origin, dict[NetworkName, tuple[Rule, ...]]] = {"mmaction2": _MMACTION, "torchvision": _TORCHVISION}
# What a converted checkpoint becomes: network, and fields of its architecture.
TARGETS: dict[str, tuple[NetworkName, dict[str, Any]]] = {
    "slowfast_r50_4x16": ("slowfast", {}),
    "slowfast_r50_8x8": ("slowfast", {"alpha": 4}),
    "slowfast_r101_4x16": ("slowfast", {"depth": 101}),
    "slowfast_r101_8x8": ("slowfast", {"depth": 101, "alpha": 4}),
    "csn_ir_152": ("csn", {}),
    "csn_ip_152": ("csn", {"mode": "ip"}),
    "tanet_r50": ("tanet", {}),
    "tsm_r50": ("tsm", {"backbone": "resnet50", "num_segments": 8}),
    "tsm_r101": ("tsm", {"backbone": "resnet101", "num_segments": 8}),
    "uniformer_small": ("uniformer", {"size": "small"}),
    "uniformer_base": ("uniformer", {"size": "base"}),
    "video_swin_tiny": ("video_swin", {"size": "tiny"}),
    "video_swin_small": ("video_swin", {"size": "small"}),
    "video_swin_base": ("video_swin", {"size": "base"}),
    "r2plus1d_18": ("r2plus1d", {"depth": 18, "frames": 16}),
    "r2plus1d_34": ("r2plus1d", {}),
}
_DROPPED = re.compile(r"^data_preprocessor\.|relative_position_index$")


def num_actions_of(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Classes of a recognizer.

    Raises:
        InputError: there is no classification layer.
    """
    for name in ("cls_head.fc_cls.bias", "head.bias", "fc.bias"):
        if name in tensors:
            return len(tensors[name])
    raise InputError(f"{path}: no classification layer of a recognizer in it")


def convert(tensors: Mapping[str, Tensor], origin: Origin, target: str, actions: Sequence[str], path: Path) -> nn.Module:
    """A network filled with a checkpoint's tensors.

    Args:
        tensors: the library's state dict.
        target: a name in TARGETS.
        actions: names of the classes, in the checkpoint's order.
        path: of the checkpoint, for messages.

    Raises:
        InputError: the library has no such network; tensors are missing, left over, or of another shape.
    """
    name, fields = TARGETS[target]
    if name not in RULES[origin]:
        raise InputError(f"--to {target}: {origin} has no such network; it has those of {', '.join(sorted(RULES[origin]))}")
    network = parse_architecture(name, fields, target).build(len(actions))
    computed = {key: value for key, value in network.state_dict().items() if _DROPPED.search(key)}
    renamed = {_rewrite(key, RULES[origin][name]): value for key, value in tensors.items() if not _DROPPED.search(key)}
    fill(network, renamed | computed, target, path)
    return network.eval()


def _rewrite(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name

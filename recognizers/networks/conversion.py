"""Public checkpoints of recognizers as weights of this project: mmaction2, torchvision, PyTorchVideo, transformers, PyTorch-MFNet.

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

Origin = Literal["mmaction2", "torchvision", "pytorchvideo", "transformers", "pytorch_mfnet"]


def _one_less(prefix: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{prefix}{int(found[1]) - 1}."


def _doubled(found: re.Match[str]) -> str:
    """Stages of Swin lie between the mergings of patches in one list."""
    return f"trunk.features.{2 * int(found[1])}."


def _pathway(found: re.Match[str]) -> str:
    return f"{'fast' if int(found[2]) else 'slow'}.stages.{int(found[1]) - 1}."


def _multi_fiber(found: re.Match[str]) -> str:
    """Norm and convolution of a unit's steps lie in one row, with an activation between them."""
    kind, step, layer = found.groups()
    place = 3 * (int(step) - 1) + (2 if layer == "conv" else 0)
    return f".{ {'i': 'mix', 'm': 'fibers', 'w': 'skip'}[kind] }.{place}."


def _bottleneck(found: re.Match[str]) -> str:
    return f".conv{'abc'.index(found[2]) + 1}.{int(found[1] == 'norm')}."


_HEAD: Rule = (r"^cls_head\.fc_cls\.", "classifier.")
_RESNET3D: tuple[Rule, ...] = (
    (r"\.layer(\d)\.", _one_less(".stages.")),
    (r"\.conv\.(weight|bias)$", r".0.\1"),
    (r"\.bn\.(\w+)$", r".1.\1"),
)
_ONE_PATHWAY: tuple[Rule, ...] = ((r"^backbone\.conv1\.", "trunk.stem."), (r"^backbone\.", "trunk."), *_RESNET3D, _HEAD)
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
    "csn": _ONE_PATHWAY,
    "resnet3d": _ONE_PATHWAY,
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
    "timesformer": (
        (r"^backbone\.patch_embed\.projection\.", "patch_embed."),
        (r"^backbone\.transformer_layers\.layers\.", "blocks."),
        (r"\.attentions\.0\.temporal_fc\.", ".time_fc."),
        (r"\.attentions\.0\.", ".time."),
        (r"\.attentions\.1\.", ".space."),
        (r"\.attn\.in_proj_", ".qkv."),
        (r"\.attn\.out_proj\.", ".proj."),
        (r"\.ffns\.0\.layers\.0\.0\.", ".fc1."),
        (r"\.ffns\.0\.layers\.1\.", ".fc2."),
        (r"\.ffns\.0\.norm\.", ".norm."),
        (r"^backbone\.", ""),
        _HEAD,
    ),
}
_VIDEO_RESNET: tuple[Rule, ...] = ((r"^fc\.", "fc.1."), (r"^", "trunk."))
_TORCHVISION: dict[NetworkName, tuple[Rule, ...]] = {
    "video_swin": ((r"^head\.", "head.1."), (r"^", "trunk.")),
    "r2plus1d": _VIDEO_RESNET,
    "r3d": _VIDEO_RESNET,
}
_BOTTLENECK: tuple[Rule, ...] = (
    (r"\.branch1_conv\.", ".downsample.0."),
    (r"\.branch1_norm\.", ".downsample.1."),
    (r"\.branch2\.(conv|norm)_([abc])\.", _bottleneck),
    (r"^blocks\.\d\.proj\.", "classifier."),
)
_PLAIN: tuple[Rule, ...] = (
    (r"^blocks\.0\.conv\.", "trunk.stem.0."),
    (r"^blocks\.0\.norm\.", "trunk.stem.1."),
    (r"^blocks\.(\d)\.res_blocks\.", _one_less("trunk.stages.")),
    *_BOTTLENECK,
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
    "csn": (*_PLAIN, (r"\.conv2\.", ".conv2.0.")),
    "resnet3d": _PLAIN,
}
_TRANSFORMERS: dict[NetworkName, tuple[Rule, ...]] = {
    "timesformer": (
        (r"^timesformer\.embeddings\.patch_embeddings\.projection\.", "patch_embed."),
        (r"^timesformer\.embeddings\.position_embeddings$", "pos_embed"),
        (r"^timesformer\.embeddings\.time_embeddings$", "time_embed"),
        (r"^timesformer\.embeddings\.", ""),
        (r"^timesformer\.encoder\.layer\.", "blocks."),
        (r"^timesformer\.layernorm\.", "norm."),
        (r"\.temporal_dense\.", ".time_fc."),
        (r"\.temporal_layernorm\.", ".time.norm."),
        (r"\.temporal_attention\.", ".time."),
        (r"\.layernorm_before\.", ".space.norm."),
        (r"\.layernorm_after\.", ".norm."),
        (r"\.(\d+)\.attention\.", r".\1.space."),
        (r"\.attention\.qkv\.", ".qkv."),
        (r"(space|time)\.output\.dense\.", r"\1.proj."),
        (r"\.intermediate\.dense\.", ".fc1."),
        (r"(\d+)\.output\.dense\.", r"\1.fc2."),
    ),
}
_PYTORCH_MFNET: dict[NetworkName, tuple[Rule, ...]] = {
    "mfnet": (
        (r"^conv1\.conv\.", "stem.0."),
        (r"^conv1\.bn\.", "stem.1."),
        (r"^tail\.bn\.", "norm."),
        (r"^conv(\d)\.B(\d+)\.", lambda found: f"stages.{int(found[1]) - 2}.{int(found[2]) - 1}."),
        (r"\.conv_(\w)(\d)\.(bn|conv)\.", _multi_fiber),
    ),
}
RULES: dict[Origin, dict[NetworkName, tuple[Rule, ...]]] = {
    "mmaction2": _MMACTION,
    "torchvision": _TORCHVISION,
    "pytorchvideo": _PYTORCHVIDEO,
    "transformers": _TRANSFORMERS,
    "pytorch_mfnet": _PYTORCH_MFNET,
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
    "r3d_18": ("r3d", {}),
    "resnet3d_50_4x16": ("resnet3d", {"frames": 4, "interval": 16}),
    "resnet3d_50_8x8": ("resnet3d", {}),
    "resnet3d_101_8x8": ("resnet3d", {"depth": 101}),
    "mfnet": ("mfnet", {}),
    "timesformer_base": ("timesformer", {}),
    "timesformer_hr": ("timesformer", {"frames": 16, "interval": 16, "input_px": 448}),
}
_SLOWFAST: dict[str, Any] = {"slow_frames": "spread", "lateral_norm": True, "colours": "middle"}
# Targets that a library has weights of, and how they differ from the above; of libraries that are not named here, all, and in nothing.
DIFFERING: dict[Origin, dict[str, dict[str, Any]]] = {
    "pytorchvideo": {
        "slowfast_r50_4x16": _SLOWFAST,
        "slowfast_r50_8x8": _SLOWFAST,
        "slowfast_r101_8x8": _SLOWFAST | {"lateral_kernel": 5},
        "csn_ir_101": {"norm_eps": 1e-5, "colours": "middle"},
        "resnet3d_50_8x8": {"colours": "middle"},
    },
    "transformers": {"timesformer_base": {"colours": "middle"}, "timesformer_hr": {"colours": "middle"}},
}
_DROPPED = re.compile(r"^data_preprocessor\.|relative_position_index$")


def targets() -> dict[str, Collection[str]]:
    """What the checkpoints of each library can become."""
    found: dict[str, Collection[str]] = {o: [name for name, (network, _) in TARGETS.items() if network in RULES[o]] for o in RULES}
    return found | dict(DIFFERING.items())


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
    for name in ("cls_head.fc_cls.bias", "head.bias", "fc.bias", "classifier.bias", "blocks.6.proj.bias", "blocks.5.proj.bias"):
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
    if isinstance(network, SlowFast) and origin == "pytorchvideo":
        renamed = _fast_first(renamed, network.fast.out_channels)
    fill(network, renamed | computed, target, path)
    return network.eval()


def _fast_first(tensors: dict[str, Tensor], num_fast: int) -> dict[str, Tensor]:
    """The classifier's columns with the fast pathway's in front; PyTorchVideo has them behind the slow one's."""
    return {key: torch.roll(value, num_fast, 1) if key == "classifier.weight" else value for key, value in tensors.items()}

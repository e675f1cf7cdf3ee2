"""How the tensors of other libraries' recognizers are called here: name for name, by rule."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from parsing.networks.checkpoints import Rule
from recognizers.networks import NetworkName

Origin = Literal["mmaction2", "torchvision", "pytorchvideo", "transformers", "pytorch_mfnet", "pyslowfast"]


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


def _staged_pathway(found: re.Match[str]) -> str:
    return f"{'fast' if int(found[2]) else 'slow'}.stages.{int(found[1]) - 2}.{found[3]}."


def _staged_bottleneck(found: re.Match[str]) -> str:
    return f".conv{'abc'.index(found[1]) + 1}.{int(bool(found[2]))}."


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
_MVIT_BLOCK: tuple[Rule, ...] = (
    (r"\.attn\.pool_(\w)\.", r".attn.pool_\1.pool."),
    (r"\.attn\.norm_(\w)\.", r".attn.pool_\1.norm_act.0."),
    (r"\.attn\.proj\.", ".attn.project.0."),
    (r"\.(\d+)\.proj\.", r".\1.project."),
    (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.3."),
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
    "r2plus1d": (
        (r"^backbone\.conv1\.conv\.", "trunk.stem.0."),
        (r"^backbone\.conv1\.bn\.", "trunk.stem.1."),
        (r"\.(conv\d|downsample)\.conv\.", r".\1.0."),
        (r"\.(conv\d|downsample)\.bn\.", r".\1.1."),
        (r"\.conv_s\.", ".0."),
        (r"\.bn_s\.", ".1."),
        (r"\.conv_t\.", ".3."),
        (r"^backbone\.", "trunk."),
        (r"^cls_head\.fc_cls\.", "trunk.fc.1."),
    ),
    "mvit": (
        (r"^backbone\.patch_embed\.projection\.", "trunk.conv_proj."),
        (r"^backbone\.cls_token$", "trunk.pos_encoding.class_token"),
        (r"^backbone\.norm\d\.", "trunk.norm."),
        (r"^backbone\.", "trunk."),
        *_MVIT_BLOCK,
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
    "mvit": ((r"^", "trunk."),),
    "s3d": ((r"^", "trunk."),),
    "r2plus1d": _VIDEO_RESNET,
    "r3d": _VIDEO_RESNET,
}
# Of PyTorchVideo and PySlowFast, before the blocks' own names become torchvision's.
_MVIT: tuple[Rule, ...] = (
    (r"^(cls_positional_encoding\.)?cls_token$", "pos_encoding.class_token"),
    (r"^(cls_positional_encoding\.)?pos_embed_(\w+)$", r"pos_encoding.\2_pos"),
    (r"^patch_embed\.(patch_model|proj)\.", "conv_proj."),
    (r"^norm_embed\.", "norm."),
    (r"^head\.proj(ection)?\.", "head.1."),
    (r"^", "trunk."),
    *_MVIT_BLOCK,
)
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
    "mvit": _MVIT,
}
_STAGED: tuple[Rule, ...] = (
    (r"\.branch1\.", ".downsample.0."),
    (r"\.branch1_bn\.", ".downsample.1."),
    (r"\.branch2\.([abc])(_bn)?\.", _staged_bottleneck),
    (r"\.stem\.conv\.", ".stem.0."),
    (r"\.stem\.bn\.", ".stem.1."),
    (r"^head\.projection\.", "classifier."),
)
_PYSLOWFAST: dict[NetworkName, tuple[Rule, ...]] = {
    "slowfast": (
        (r"^s(\d)_fuse\.conv_f2s\.", lambda found: f"lateral.{int(found[1]) - 1}.0.0."),
        (r"^s(\d)_fuse\.bn\.", lambda found: f"lateral.{int(found[1]) - 1}.0.1."),
        (r"^s1\.pathway0_stem\.", "slow.stem."),
        (r"^s1\.pathway1_stem\.", "fast.stem."),
        (r"^s(\d)\.pathway(\d)_res(\d+)\.", _staged_pathway),
        *_STAGED,
    ),
    "resnet3d": (
        (r"^s1\.pathway0_stem\.", "trunk.stem."),
        (r"^s(\d)\.pathway0_res(\d+)\.", lambda found: f"trunk.stages.{int(found[1]) - 2}.{found[2]}."),
        *_STAGED,
    ),
    "mvit": _MVIT,
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
    "pyslowfast": _PYSLOWFAST,
}

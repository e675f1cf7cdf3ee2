"""The MobileNetV2 trunks inside Google's MoveNet (Apache-2.0), which have seen the people of COCO, as networks of timm."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from timm.layers import BatchNormAct2d
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn

# Width multipliers: Thunder looks at a crop of one person, MultiPose at whole pictures.
MOVENET_WIDTHS = {"movenet_thunder": 1.75, "movenet_multipose": 1.5}
# Blocks of MobileNetV2 (Sandler et al., CVPR 2018, table 2): kind, repeats, kernel, stride, expansion, channels.
BLOCKS = (
    "ds_r1_k3_s1_c16",
    "ir_r2_k3_s2_e6_c24",
    "ir_r3_k3_s2_e6_c32",
    "ir_r4_k3_s2_e6_c64",
    "ir_r3_k3_s1_e6_c96",
    "ir_r3_k3_s2_e6_c160",
    "ir_r1_k3_s1_e6_c320",
)
STEM = 32  # channels at width 1
_REPEATS = [int(re.search(r"_r(\d)", block).group(1)) for block in BLOCKS]  # type: ignore[union-attr]
# Convolutions of a block in the file, and in timm with the norm that follows; the first block does not expand.
_SEPARABLE = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}
_INVERTED = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}


def movenet_trunk(width: float, levels: tuple[int, ...]) -> EfficientNetFeatures:
    """MobileNetV2 of a width as feature levels of strides 2, 4, 8, 16 and 32, padded as TensorFlow pads (`SAME`).

    Args:
        width: multiplier of all channels.
        levels: which levels to return, 0 the finest.
    """
    return EfficientNetFeatures(
        decode_arch_def([[block] for block in BLOCKS]),
        out_indices=levels,
        stem_size=STEM,
        round_chs_fn=functools.partial(round_channels, multiplier=width),
        pad_type="same",
        act_layer=nn.ReLU6,
        norm_layer=nn.BatchNorm2d,
    )


def from_folded(net: EfficientNetFeatures, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a trunk from MoveNet's convolutions, in which the norms are folded: the norms only add the bias.

    Args:
        tensors: `stem` and `blocks.N.{expand,depthwise,project}`, each `weight` and `bias`; what follows the blocks
            (the last convolution and MoveNet's own feature pyramid) is left out.
    """
    named = {"stem": ("conv_stem", "bn1")}
    flat = [(stage, block) for stage, repeats in enumerate(_REPEATS) for block in range(repeats)]
    for number, (stage, block) in enumerate(flat):
        for part, (conv, norm) in (_INVERTED if number else _SEPARABLE).items():
            named[f"blocks.{number}.{part}"] = (f"blocks.{stage}.{block}.{conv}", f"blocks.{stage}.{block}.{norm}")
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        if layer in named:
            conv, norm = named[layer]
            found[f"{conv}.weight" if kind == "weight" else f"{norm}.bias"] = tensor
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d | BatchNormAct2d):
            ones = module.weight.new_ones(module.num_features)
            identity = {"weight": ones, "running_mean": ones * 0, "running_var": ones - module.eps}
            found |= {f"{name}.{key}": value for key, value in identity.items()}
            found[f"{name}.num_batches_tracked"] = module.num_batches_tracked  # type: ignore[assignment]
    return found

"""Batch norms folded into the convolutions before them: the same function, in fewer passes over memory."""

from __future__ import annotations

import itertools

import torch
from timm.layers import BatchNormAct2d
from timm.models import FeatureListNet
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.efficientnet import EfficientNetFeatures
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from parsing.threads import in_threads

Norm = nn.BatchNorm2d | nn.BatchNorm3d
# Modules that run their children in the order in which they list them, as far as convolutions and norms go.
IN_ORDER = (
    nn.Sequential,
    FeatureListNet,
    EfficientNetFeatures,
    DepthwiseSeparableConv,
    InvertedResidual,
    ResNet,
    BasicBlock,
    Bottleneck,
)


@in_threads(1)
@torch.no_grad()
def fold_norms(network: nn.Module) -> int:
    """Fold, in place, every batch norm that directly follows a convolution in a module that is in order; for evaluation only.

    A norm with an activation (timm's) leaves its activation. The network can be neither trained nor saved after that.
    Convolutions over images also get the layout that CPUs run fastest.

    Returns:
        How many norms were folded.
    """
    folded = 0
    for parent in [module for module in network.modules() if isinstance(module, IN_ORDER)]:
        for (_, conv), (name, norm) in itertools.pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(norm, Norm) and norm.num_features == conv.out_channels:
                setattr(parent, name, _fold(conv, norm))
                folded += 1
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return folded


def _fold(conv: nn.Conv2d | nn.Conv3d, norm: Norm) -> nn.Module:
    """What stays in the norm's place."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()

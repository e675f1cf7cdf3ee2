"""Perceptual loss: distances of VGG-19's features (Johnson et al., ECCV 2016), with the layers and weights of Real-ESRGAN."""

from __future__ import annotations

from pathlib import Path

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from parsing.networks.checkpoints import fill, read_checkpoint

# Convolutions before whose ReLU features are compared, by number in torchvision's network: their share of the loss.
LAYERS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}


class PerceptualLoss(nn.Module):
    """Sum of the mean distances of the features of two batches of images.

    Args:
        checkpoint: torchvision's `vgg19-*.pth`; nothing is downloaded.

    Raises:
        InputError: it is no checkpoint of VGG-19.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__()
        tensors = read_checkpoint(checkpoint)[0]
        features = make_layers(cfgs["E"], batch_norm=False)
        fill(features, {k.removeprefix("features."): v for k, v in tensors.items() if k.startswith("features.")}, "vgg19", checkpoint)
        self.features = features[: max(LAYERS) + 1].requires_grad_(False)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, found: Tensor, truth: Tensor) -> Tensor:
        """Of (N, 3, H, W) images, RGB in [0, 1]."""
        loss = found.new_zeros(())
        a, b = ((images - self.mean) / self.std for images in (found, truth))
        for number, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if number in LAYERS:
                loss = loss + LAYERS[number] * F.l1_loss(a, b)
        return loss

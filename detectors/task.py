"""What a step of a detector's training computes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.networks.architectures import Targets


class DetectionTask(nn.Module):
    """Named losses of a batch of uint8 images."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, batch: tuple[Tensor, list[Targets]]) -> dict[str, Tensor]:
        images, targets = batch
        scaled = images.float().div(255).contiguous(memory_format=torch.channels_last)
        on_device = [Targets(t.boxes.to(images.device), t.labels.to(images.device), t.ignored.to(images.device)) for t in targets]
        size = (int(images.shape[2]), int(images.shape[3]))
        losses: dict[str, Tensor] = self.network(scaled, [size] * len(images), on_device)
        return losses

"""Pixels on their way to a device, and how a network is laid out there."""

from __future__ import annotations

import torch
from torch import Tensor

from parsing.types import Array


def to_device(pixels: Array, device: str) -> Tensor:
    """An array as a tensor on a device; to a GPU it goes through pinned memory, so that the processor need not wait for it."""
    tensor = torch.from_numpy(pixels)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)

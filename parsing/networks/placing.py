"""Pixels on their way to a device, and the precision that a network computes in there."""

from __future__ import annotations

import torch
from torch import Tensor

from parsing.networks.runtimes import Precision
from parsing.types import Array


def to_device(pixels: Array, device: str) -> Tensor:
    """An array as a tensor on a device; to a GPU it goes through pinned memory, so that the processor need not wait for it."""
    tensor = torch.from_numpy(pixels)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def computing_in(precision: Precision, device: str) -> torch.autocast:
    """A block in which PyTorch's convolutions and linear layers compute in this precision."""
    return torch.autocast("cpu" if device == "cpu" else "cuda", torch.bfloat16, enabled=precision == "bfloat16")

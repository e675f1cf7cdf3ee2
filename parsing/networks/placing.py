"""Pixels on their way to a device, and the precision that a network computes in there."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from parsing.networks.openvino_graphs import has_bfloat16
from parsing.networks.runtimes import Precision, Runtime, chosen_runtime
from parsing.networks.weights import read_header
from parsing.types import Array

PrecisionChoice = Literal["auto", "float32", "bfloat16"]
MOST_LOSS = 0.002  # of the first figure of a stage on its validation data


def to_device(pixels: Array, device: str) -> Tensor:
    """An array as a tensor on a device; to a GPU it goes through pinned memory, so that the processor need not wait for it."""
    tensor = torch.from_numpy(pixels)
    return tensor if device == "cpu" else tensor.pin_memory().to(device, non_blocking=True)


def chosen_precision(precision: PrecisionChoice, runtime: Runtime, device: str, weights: str) -> Precision:
    """What a config's `precision` means here.

    `auto` is bfloat16 where OpenVINO runs the network on a processor that has it, and the weights say that they lose next to nothing by
    it (`bfloat16_loss` of their header, which `pipelines.precision` measures); else float32.

    Raises:
        InputError: the weights are missing or not of this project; or the runtime is not installed, or not for this device.
    """
    if precision != "auto":
        return precision
    if chosen_runtime(runtime, device) != "openvino" or not has_bfloat16():
        return "float32"
    loss = read_header(weights).bfloat16_loss
    return "bfloat16" if loss is not None and loss <= MOST_LOSS else "float32"


def short_after(weights: str) -> int:
    """How many convolutions compute in float32 under bfloat16 too, as the weights say."""
    return read_header(weights).bfloat16_after


def computing_in(precision: Precision, device: str) -> torch.autocast:
    """A block in which PyTorch's convolutions and linear layers compute in this precision."""
    return torch.autocast("cpu" if device == "cpu" else "cuda", torch.bfloat16, enabled=precision == "bfloat16")

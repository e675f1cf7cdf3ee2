"""Super-resolution frame by frame: bicubic interpolation, and networks of single images."""

from __future__ import annotations

from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch

from parsing.configs import config
from parsing.errors import InputError
from parsing.extras import import_extra
from parsing.networks.checkpoints import read_checkpoint
from parsing.networks.placing import to_device
from parsing.networks.tensors import check_finite, check_kinds, read_tensors
from parsing.networks.weights import model_facts
from parsing.types import Array
from recognizers.superres.cache import CacheConfig
from recognizers.superres.chunks import Chunking
from recognizers.superres.resolver import SuperResolver, check_scale

ALONE = Chunking(chunk_frames=1, overlap_frames=0)


@config
class BicubicConfig:
    """Interpolation, which every network must beat."""

    name: Literal["bicubic"] = "bicubic"
    scale: Literal[2, 3, 4] = 2

    def build(self, device: str) -> SuperResolver:  # noqa: ARG002  # runs on the CPU
        facts = model_facts("super_resolution", self)
        whole = Chunking(chunk_frames=1, overlap_frames=0, tile_px=2**15, tile_overlap_px=0)
        return SuperResolver(partial(bicubic, scale=self.scale), self.scale, facts, whole)


def bicubic(frames: Array, scale: int) -> Array:
    """(T, H, W, 3) uint8 to (T, scale H, scale W, 3)."""
    size = (frames.shape[2] * scale, frames.shape[1] * scale)
    return np.stack([cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in frames])


@config
class SpandrelConfig:
    """Any image network that spandrel knows, on each frame by itself.

    Args:
        weights: a .pth of tensors or a .safetensors; the network is recognised by its tensors' names.
        scale: that the weights must have; None takes theirs.
        cut: of which the tiles alone matter.
    """

    weights: str
    name: Literal["spandrel"] = "spandrel"
    scale: Literal[1, 2, 3, 4, 8] | None = None
    cut: Chunking = field(default=ALONE)
    cache: CacheConfig | None = None

    def build(self, device: str) -> SuperResolver:
        self.cut.check(self.name)
        network = load_image_network(Path(self.weights), device)
        check_scale(network.scale, self.scale, Path(self.weights))
        facts = model_facts("super_resolution", self, self.weights)
        cache = self.cache.build() if self.cache else None
        return SuperResolver(partial(run_images, network, device=device), int(network.scale), facts, self.cut, 0, cache)


def load_image_network(path: Path, device: str) -> Any:
    """spandrel's descriptor of the network whose tensors a file holds; nothing in the file is executed.

    Raises:
        InputError: spandrel is not installed, knows no such network, or it is none from RGB to RGB.
    """
    spandrel = import_extra("spandrel", "superres")
    tensors = _read_tensors(path)
    try:
        network = spandrel.ModelLoader(device=device).load_from_state_dict(tensors)
    except (spandrel.UnsupportedModelError, RuntimeError, KeyError) as error:
        why = " ".join(str(error).split())[:100] or "none of its architectures has these tensors"
        raise InputError(f"{path}: no network that spandrel knows ({why})") from None
    if not isinstance(network, spandrel.ImageModelDescriptor) or (network.input_channels, network.output_channels) != (3, 3):
        raise InputError(f"{path}: a network of {network.architecture.name} that does not go from RGB images to RGB images")
    filled = network.model.state_dict()
    check_kinds(tensors, filled, path)
    check_finite(filled, path)
    return network.eval()


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix != ".safetensors":
        return read_checkpoint(path)[0]
    return read_tensors(path)


@torch.inference_mode()
def run_images(network: Any, frames: Array, device: str) -> Array:
    """(T, H, W, 3) uint8 RGB to (T, S H, S W, 3), one by one."""
    found = []
    for image in frames:
        pixels = to_device(np.ascontiguousarray(image), device).permute(2, 0, 1)[None].float() / 255
        large = network(pixels)[0].mul(255).round().clamp(0, 255).byte()
        found.append(large.permute(1, 2, 0).cpu().numpy())
    return np.stack(found)

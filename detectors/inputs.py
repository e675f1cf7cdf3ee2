"""Images as the networks take them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from detectors.networks import DetectionNetwork
from detectors.networks.architectures import Candidates
from parsing.networks.placing import computing_in, to_device
from parsing.networks.runtimes import Precision
from parsing.types import Array, Frame

PAD_TO_PX = 32  # the coarsest stride of a backbone
# ImageNet's mean: what published detectors, which pad after normalisation, see beside the image.
PAD_COLOUR = (124, 116, 104)


def resize_to(image: Array, longer_px: int, shorter_px: int | None = None) -> Array:
    """An image scaled so that its longer side has a length and its shorter at most another; averages where it shrinks."""
    height, width = image.shape[:2]
    scale = longer_px / max(height, width)
    if shorter_px is not None:
        scale = min(scale, shorter_px / min(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def padded_px(length: int) -> int:
    """The next multiple of a backbone's coarsest stride."""
    return -(-length // PAD_TO_PX) * PAD_TO_PX


def pad_batch(images: Sequence[Array], device: str) -> tuple[Tensor, list[tuple[int, int]]]:
    """A batch (B, 3 + K, H, W) of uint8, padded to multiples of 32, and the sizes inside the padding.

    Args:
        images: (H, W, 3 + K) uint8; the K maps after the colours are padded with 0.
    """
    height, width = (padded_px(max(image.shape[axis] for image in images)) for axis in (0, 1))
    channels = images[0].shape[2]
    batch = np.empty((len(images), height, width, channels), np.uint8)
    colour = np.array(PAD_COLOUR + (0,) * (channels - len(PAD_COLOUR)), np.uint8)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
        row[image.shape[0] :] = row[:, image.shape[1] :] = colour
    return to_device(batch, device).permute(0, 3, 1, 2), [(image.shape[0], image.shape[1]) for image in images]


def find_candidates(network: DetectionNetwork, batch: Tensor, sizes: list[tuple[int, int]], precision: Precision) -> Candidates:
    """What a network finds in a batch, its scores calibrated where the weights say how.

    Under bfloat16 its convolutions and linear layers compute in half the bits.
    """
    with computing_in(precision, batch.device.type):
        found = network.candidates(batch, sizes)
    return [(boxes, network.calibration.apply(scores)) for boxes, scores in found] if network.calibration else found


def view_candidates(
    network: DetectionNetwork, frames: Sequence[Frame], device: str, longer_px: float, flip: bool, precision: Precision = "float32"
) -> Candidates:
    """What a network finds in frames at one size, mirrored or not; boxes in pixels of the frames, left classes left."""
    resized = [resize_to(frame.image, round(longer_px), network.architecture.shorter_px) for frame in frames]
    batch, sizes = pad_batch([np.ascontiguousarray(image[:, ::-1]) if flip else image for image in resized], device)
    found = find_candidates(network, batch, sizes, precision)
    swap = torch.from_numpy(network.architecture.swap)
    return [
        (to_frame(boxes, size, frame.image_hw, flip), scores[:, swap] if flip else scores)
        for (boxes, scores), size, frame in zip(found, sizes, frames, strict=True)
    ]


def to_frame(boxes: Tensor, size: tuple[int, int], image_hw: tuple[int, int], flip: bool) -> Tensor:
    """(R, 4) boxes from pixels of a view of `size` (height, width) to those of the frame."""
    if flip:
        boxes = torch.stack([size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]], 1)
    return boxes * boxes.new_tensor([image_hw[1] / size[1], image_hw[0] / size[0]] * 2)

"""Images as the networks take them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.networks import DetectionNetwork
from detectors.networks.architectures import Candidates
from parsing.networks.device_images import resize_images
from parsing.networks.placing import computing_in
from parsing.networks.runtimes import Precision
from parsing.types import Frame

PAD_TO_PX = 32  # the coarsest stride of a backbone
COMMON_HW = (1080, 1920), (480, 640), (256, 340)  # of videos, lying; 340 x 256 is how data sets of actions are kept
# ImageNet's mean: what published detectors, which pad after normalisation, see beside the image.
PAD_COLOUR = (124, 116, 104)


def resized_hw(image_hw: tuple[int, int], longer_px: int, shorter_px: int | None = None) -> tuple[int, int]:
    """The size of an image whose longer side has a length and its shorter at most another."""
    height, width = image_hw
    scale = longer_px / max(height, width)
    if shorter_px is not None:
        scale = min(scale, shorter_px / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def padded_px(length: int) -> int:
    """The next multiple of a backbone's coarsest stride."""
    return -(-length // PAD_TO_PX) * PAD_TO_PX


def common_sizes(longer_px: int, shorter_px: int | None = None) -> list[tuple[int, int]]:
    """Heights and widths, padded, of what most videos become as inputs whose longer side has a length."""
    scaled = [resized_hw(hw, longer_px, shorter_px) for hw in COMMON_HW]
    lying = [(padded_px(height), padded_px(width)) for height, width in scaled]
    return [*lying, *((width, height) for height, width in lying)]


def pad_batch(images: Sequence[Tensor]) -> tuple[Tensor, list[tuple[int, int]]]:
    """A batch (B, 3 + K, H, W) of uint8, padded to multiples of 32, and the sizes inside the padding; on the device of the images.

    Args:
        images: (H, W, 3 + K) uint8; the K maps after the colours are padded with 0.
    """
    height, width = (padded_px(max(image.shape[axis] for image in images)) for axis in (0, 1))
    channels = images[0].shape[2]
    batch = images[0].new_empty((len(images), height, width, channels))
    colour = batch.new_tensor(PAD_COLOUR + (0,) * (channels - len(PAD_COLOUR)))
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
        row[image.shape[0] :] = colour
        row[:, image.shape[1] :] = colour
    return batch.permute(0, 3, 1, 2), [(image.shape[0], image.shape[1]) for image in images]  # stays channels_last


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
    wanted = [resized_hw(frame.image_hw, round(longer_px), network.architecture.shorter_px) for frame in frames]
    resized = resize_images([frame.image for frame in frames], wanted, device)
    batch, sizes = pad_batch([image.flip(1) if flip else image for image in resized])
    found = find_candidates(network, batch, sizes, precision)
    swap = torch.from_numpy(network.architecture.swap)
    return [
        (to_frame(boxes, size, frame.image_hw, flip), scores[:, swap] if flip else scores)
        for (boxes, scores), size, frame in zip(found, sizes, frames, strict=True)
    ]


def to_frame(boxes: Tensor, size: tuple[int, int], image_hw: tuple[int, int], flip: bool) -> Tensor:
    """(R, 4) boxes from pixels of a view of `size` (height, width) to those of the frame."""
    boxes = mirror_boxes(boxes, size[1]) if flip else boxes
    return boxes * boxes.new_tensor([image_hw[1] / size[1], image_hw[0] / size[0]] * 2)


def mirror_boxes(boxes: Tensor, width: int) -> Tensor:
    """(R, 4) boxes in a mirrored view of some width."""
    return torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)

"""Crops and sizes of images as networks take them, made where the networks run.

On a CPU OpenCV makes them, one by one: it takes a fifth to an eighth of the time of the same in PyTorch, which
`benchmarks/gpu.py CLIP --device cpu` measures. To a GPU each image goes once, whole, and crops and sizes of it are made there,
by the same rules (`Sampling`): they differ by what OpenCV rounds, places to a 32nd of a pixel and grey levels in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from parsing.geometry import BORDER, Crop, Sampling
from parsing.networks.placing import to_device
from parsing.types import Array

MOST_PIXELS = 2**24  # that are cut or scaled together, 12 bytes each
_UPLOADED: ContextVar[dict[int, tuple[Array, Tensor]] | None] = ContextVar("_UPLOADED", default=None)


def made_on(device: str) -> bool:
    """Whether crops and sizes are made on a device, of images that are uploaded whole."""
    return device != "cpu"


@contextmanager
def uploaded_once() -> Iterator[None]:
    """Images that are asked for in this block stay on the device until its end, so each goes there once; blocks inside are part of it."""
    if _UPLOADED.get() is not None:
        yield
        return
    token = _UPLOADED.set({})
    try:
        yield
    finally:
        _UPLOADED.reset(token)


def uploaded(image: Array, device: str) -> Tensor:
    """(H, W, 3) uint8 image on the device."""
    known = {} if (held := _UPLOADED.get()) is None else held
    if id(image) not in known:
        given = np.require(image, requirements=("C", "W"))  # PyTorch takes no strides below 0, and warns of what is read-only
        known[id(image)] = image, to_device(given, device)  # with the image, so that no other one gets its id
    return known[id(image)][1]


def crop_images(images: Sequence[Array], crops: Sequence[Crop], device: str) -> list[Tensor]:
    """(S, S, 3) uint8 of each crop of its own image (H, W, 3), on the device.

    Args:
        crops: all of one size.
    """
    if not made_on(device):
        return [to_device(crop.pixels(image), device) for crop, image in zip(crops, images, strict=True)]
    with uploaded_once():
        return cropped([uploaded(image, device) for image in images], crops)


def resize_images(images: Sequence[Array], sizes_hw: Sequence[tuple[int, int]], device: str) -> list[Tensor]:
    """(h, w, 3) uint8 of each image (H, W, 3) in its own size, on the device; averages where it halves or more, else bilinear."""
    if made_on(device):
        return resized([uploaded(image, device) for image in images], sizes_hw)
    return [to_device(_resized(image, size), device) for image, size in zip(images, sizes_hw, strict=True)]


def _resized(image: Array, size_hw: tuple[int, int]) -> Array:
    averages = _averages(image.shape[:2], size_hw)
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA if averages else cv2.INTER_LINEAR))


def _averages(old_hw: Sequence[int], new_hw: Sequence[int]) -> bool:
    """Whether so few pixels are left that bilinear sampling alone would skip some; averages take five times as long on a CPU."""
    return any(2 * new <= old for old, new in zip(old_hw, new_hw, strict=True))


def _lots(count: int, height: int, width: int) -> Iterator[slice]:
    """Runs of pictures of a size, as many as may be cut together."""
    most = max(1, MOST_PIXELS // (height * width))
    return (slice(begin, begin + most) for begin in range(0, count, most))


def cropped(images: Sequence[Tensor], crops: Sequence[Crop]) -> list[Tensor]:
    """What `Crop.pixels` gives of each image (H, W, 3) uint8, made on its device."""
    ways = [crop.samplings((image.shape[0], image.shape[1])) for crop, image in zip(crops, images, strict=True)]
    if not ways:
        return []
    height, width = (max(1, *(way[axis].end - way[axis].begin for way in ways)) for axis in (0, 1))
    return [crop for lot in _lots(len(ways), height, width) for crop in _cropped(images[lot], ways[lot], crops[0].size)]


def _cropped(images: Sequence[Tensor], ways: Sequence[tuple[Sampling, Sampling]], size: int) -> Tensor:
    """(N, size, size, 3) uint8."""
    seen = [image[rows.begin : rows.end, columns.begin : columns.end] for image, (rows, columns) in zip(images, ways, strict=True)]
    height, width = (max(1, *(window.shape[axis] for window in seen)) for axis in (0, 1))
    windows = images[0].new_zeros((len(seen), height, width, 3), dtype=torch.float32)
    for window, pixels in zip(windows, seen, strict=True):
        window[: pixels.shape[0], : pixels.shape[1]] = pixels
    rows, columns = ([way[axis] for way in ways] for axis in (0, 1))
    # What lies outside has no weight: with its grey as the zero it comes out as this grey.
    return _whole(_resampled(windows.sub_(BORDER), rows, columns, (size, size)).add_(BORDER))


def resized(images: Sequence[Tensor], sizes_hw: Sequence[tuple[int, int]]) -> list[Tensor]:
    """What `resize_images` gives of images (H, W, 3) uint8, made on their device; those that follow each other in one size together."""
    found: list[Tensor] = []
    for (shape, size_hw), pairs in groupby(zip(images, sizes_hw, strict=True), key=lambda pair: (pair[0].shape, pair[1])):
        alike = [image for image, _ in pairs]
        for lot in _lots(len(alike), shape[0], shape[1]):
            pixels = torch.stack(alike[lot]).float()
            averages = _averages(shape[:2], size_hw)
            rows, columns = ([_resizing(old, new, averages)] * len(pixels) for old, new in zip(shape[:2], size_hw, strict=True))
            found += _whole(_resampled(pixels, rows, columns, size_hw, repeats=True))
    return found


def _resizing(old: int, new: int, averages: bool) -> Sampling:
    """Of pixels along one axis that become fewer or more."""
    return Sampling(0, old, new, 1.0, 0.0) if averages and new < old else Sampling(0, old, old, new / old, 0.5 * new / old - 0.5)


def _whole(greys: Tensor) -> Tensor:
    return (greys + 0.5).clamp_(0, 255).byte()


def _resampled(
    images: Tensor, rows: Sequence[Sampling], columns: Sequence[Sampling], size_hw: tuple[int, int], repeats: bool = False
) -> Tensor:
    """(N, h, w, 3) of images (N, H, W, 3) float32, first along the one axis and then along the other; see `_along`."""
    (count, _, width, channels), (new_height, new_width) = images.shape, size_hw
    found = _along(images.flatten(2), rows, new_height, repeats).view(count, new_height, width, channels)
    turned = _along(found.transpose(1, 2).flatten(2), columns, new_width, repeats)
    return turned.view(count, new_width, new_height, channels).transpose(1, 2)


def _along(lines: Tensor, ways: Sequence[Sampling], size: int, repeats: bool) -> Tensor:
    """(N, size, M) sums of lines (N, L, M), float32: the pixels of the two cells around each point, weighted.

    Args:
        ways: how each of N samples its lines, counted from the first that it sees.
        repeats: what lies outside is as the nearest cell; else it has no weight.
    """
    steps = [(way.end - way.begin) / max(1, way.cells) for way in ways]
    numbers = np.array([(way.cells, step, way.zoom, way.offset) for way, step in zip(ways, steps, strict=True)], np.float32)
    cells, step, zoom, offset = to_device(numbers, str(lines.device))[..., None, None].unbind(1)  # (N, 1, 1) each
    points = (torch.arange(size, device=lines.device)[:, None] - offset) / zoom
    points = points.clamp(min=0).minimum(cells - 1) if repeats else points
    low = points.floor()
    first = (low * step).floor()
    pixels = first + torch.arange(int(np.ceil(2 * max(steps))) + 1, device=lines.device)  # (N, size, taps)

    def shares(cell: Tensor) -> Tensor:
        """Of each pixel in the mean over a cell."""
        common = torch.minimum((cell + 1) * step, pixels + 1) - torch.maximum(cell * step, pixels)
        return common.clamp(min=0) / step.clamp(min=1) * ((cell >= 0) & (cell < cells))

    weights = (1 - (points - low)) * shares(low) + (points - low) * shares(low + 1)
    begins = torch.arange(len(lines), device=lines.device)[:, None, None] * lines.shape[1]
    places = pixels.clamp(0, lines.shape[1] - 1).long() + begins
    # One kernel that keeps no picture for each tap.
    bags = F.embedding_bag(places.flatten(0, 1), lines.flatten(0, 1), per_sample_weights=weights.flatten(0, 1), mode="sum")
    return bags.view(len(lines), size, -1)

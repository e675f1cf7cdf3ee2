"""RoIAlign (He et al., Mask R-CNN, ICCV 2017), each region from the level of a pyramid that fits its size."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from parsing.networks.pieces import Piece, noise
from parsing.types import Array

WORTH_SPLITTING = 20_000  # regions times channels; below that threads cost more than they save
BINS = 7  # of a pooled region, along each side


def regions_in(method: str, channels: int) -> Piece:
    """A method of any number of pooled regions."""
    return Piece(method, noise((3, channels, BINS, BINS), (2, channels, BINS, BINS)))


class RegionPooling:
    """Pools regions of images from the levels of their pyramid (Lin et al., FPN, equation 1).

    On a CPU, where nothing is trained, the values around a sampling point are gathered as whole rows of channels, for all levels at
    once; that takes a third to a sixth of the time of torchvision's operator. Both give the same values.

    Args:
        levels: (B, C, H, W) features, finest first, and their `strides`.
        finest_scale_px: regions whose side is below twice this are pooled from the finest level.
        samples, aligned: see `align_regions`.
    """

    def __init__(
        self, levels: Sequence[Tensor], strides: Sequence[int], finest_scale_px: float, samples: int, aligned: bool = True
    ) -> None:
        self.levels, self.strides = [level.float() for level in levels], strides
        self.finest_scale_px, self.samples, self.aligned = finest_scale_px, samples, aligned
        plain = torch.is_grad_enabled() or levels[0].device.type != "cpu" or samples == 0
        self._rows = None if plain else _Rows(self.levels, strides, samples, aligned)

    def __call__(self, boxes: list[Tensor]) -> Tensor:
        """(sum of R, C, 7, 7) of boxes (R, 4) px of each image."""
        if self._rows is not None:
            return self._rows([box.numpy() for box in boxes], self.finest_scale_px)
        images = torch.cat([box.new_full((len(box),), i) for i, box in enumerate(boxes)])
        xyxy = torch.cat(boxes)
        scale = ((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])).clamp(min=1).sqrt()
        chosen = torch.floor(torch.log2(scale / self.finest_scale_px + 1e-6)).nan_to_num(0).clamp(0, len(self.levels) - 1)
        rois = torch.cat([images[:, None], xyxy], 1)
        pooled = self.levels[0].new_zeros((len(rois), self.levels[0].shape[1], BINS, BINS))
        for i, (level, stride) in enumerate(zip(self.levels, self.strides, strict=True)):
            here = torch.nonzero(chosen == i).squeeze(1)
            pooled = pooled.index_put((here,), align_regions(level, rois[here], BINS, 1 / stride, self.samples, self.aligned))
        return pooled


class _Rows:
    """All positions of all levels and images as the rows of one table, (N, C).

    Which rows a region takes is worked out in NumPy: the arrays are so small that calling an operator of PyTorch costs more than what it
    does.
    """

    def __init__(self, levels: Sequence[Tensor], strides: Sequence[int], samples: int, aligned: bool) -> None:
        self.samples, self.aligned = samples, aligned
        self.table = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, level.shape[1]) for level in levels])
        self.scales = np.array([1 / stride for stride in strides], np.float32)
        self.sizes = np.array([level.shape[-2:] for level in levels], np.int32)
        rows = np.array([level.shape[0] * level.shape[2] * level.shape[3] for level in levels], np.int32)
        self.begins = rows.cumsum(dtype=np.int32) - rows

    def __call__(self, boxes: Sequence[Array], finest_scale_px: float) -> Tensor:
        """(sum of R, C, 7, 7) of boxes (R, 4) float32 px of each image, stored with the channels last."""
        xyxy = np.concatenate(boxes)
        if not len(xyxy):
            return self.table.new_zeros((0, self.table.shape[1], BINS, BINS))
        images = np.repeat(np.arange(len(boxes), dtype=np.int32), [len(box) for box in boxes])
        scale = np.sqrt(np.fmax((xyxy[:, 2:] - xyxy[:, :2]).prod(1), 1))  # of what is no number too
        chosen = np.log2(scale / np.float32(finest_scale_px) + np.float32(1e-6)).clip(0, len(self.scales) - 1).astype(np.int32)
        placed = xyxy * self.scales[chosen, None] - np.float32(0.5 if self.aligned else 0.0)
        sides = placed[:, 2:] - placed[:, :2]
        sides = sides if self.aligned else sides.clip(min=1)
        height, width = self.sizes[chosen].T
        rows, row_weights = self._taps(placed[:, 1], sides[:, 1], height)
        columns, column_weights = self._taps(placed[:, 0], sides[:, 0], width)
        begins = self.begins[chosen] + images * height * width
        rows = rows * width[:, None] + begins[:, None]
        down, across = _crossings(2 * self.samples)  # whole rows of indices: four times as fast as axes of one or two values
        taps, weights = rows[:, down] + columns[:, across], row_weights[:, down] * column_weights[:, across]
        bags = (torch.from_numpy(array.reshape(len(xyxy) * BINS**2, -1)) for array in (taps, weights))
        pooled = F.embedding_bag(next(bags), self.table, per_sample_weights=next(bags), mode="sum")
        return pooled.view(len(xyxy), BINS, BINS, -1).permute(0, 3, 1, 2)

    def _taps(self, begins: Array, sides: Array, lengths: Array) -> tuple[Array, Array]:
        """Along one axis, bin by bin, the positions around the sampling points and their weights, (R, 7 x 2 x samples)."""
        steps = (np.arange(BINS * self.samples, dtype=np.float32) + np.float32(0.5)) / np.float32(BINS * self.samples)
        points, last = begins[:, None] + sides[:, None] * steps, lengths[:, None] - 1
        inside = (points >= -1) & (points <= lengths[:, None])  # what lies further out counts as 0
        points = np.minimum(np.where(inside, points, np.float32(0)).clip(min=0), last.astype(np.float32))
        low = np.floor(points)
        above, places = points - low, low.astype(np.int32)
        places = np.stack([places, np.minimum(places + 1, last)], -1)
        weights = np.stack([1 - above, above], -1) * (inside[..., None] / np.float32(self.samples))
        return places.reshape(len(begins), -1), weights.reshape(len(begins), -1)


@functools.cache
def _crossings(taps: int) -> tuple[Array, Array]:
    """Of all places at which rows and columns cross, bin by bin, which row and which column, (7 x 7 x taps x taps) each."""
    rows, columns = np.arange(BINS * taps).reshape(BINS, 1, taps, 1), np.arange(BINS * taps).reshape(1, BINS, 1, taps)
    down, across = np.broadcast_arrays(rows, columns)
    return down.ravel(), across.ravel()


def align_regions(level: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool = True) -> Tensor:
    """(R, C, size, size) features of regions; the same values as torchvision's `roi_align`, whose CPU kernel runs on one core.

    Args:
        level: (B, C, H, W) features.
        rois: (R, 5) image index and xyxy in pixels of the input.
        scale: of the features to the input.
        samples: points per bin and axis; 0 adapts to the region.
        aligned: shift by half a pixel, so that pixels are areas; torchvision's own detectors were trained without.
    """
    threads = torch.get_num_threads()
    if rois.device.type != "cpu" or torch.is_grad_enabled() or len(rois) * level.shape[1] < WORTH_SPLITTING or threads == 1:
        return _align(level, rois, size, scale, samples, aligned)
    level = level.contiguous()  # once, not in every thread
    with ThreadPoolExecutor(threads) as pool:
        parts = [pool.submit(_align, level, chunk, size, scale, samples, aligned) for chunk in rois.chunk(threads)]
        return torch.cat([part.result() for part in parts])


def _align(level: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool) -> Tensor:
    pooled: Tensor = roi_align(level, rois, size, scale, samples, aligned=aligned)
    return pooled

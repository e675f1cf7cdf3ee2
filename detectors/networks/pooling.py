"""RoIAlign on all cores: torchvision's CPU kernel runs on one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torchvision.ops import roi_align

from parsing.networks.pieces import Piece, noise

WORTH_SPLITTING = 20_000  # regions times channels; below that threads cost more than they save


BINS = 7  # of a pooled region, along each side


def regions_in(method: str, channels: int) -> Piece:
    """A method of any number of pooled regions."""
    return Piece(method, noise((3, channels, BINS, BINS), (2, channels, BINS, BINS)))


def pool_levels(
    levels: list[Tensor], strides: list[int], boxes: list[Tensor], finest_scale_px: float, samples: int, aligned: bool = True
) -> Tensor:
    """(sum of R, C, 7, 7): each region from the level that fits its size (Lin et al., FPN, equation 1).

    Args:
        levels: (B, C, H, W) features, finest first, and their `strides`.
        boxes: (R, 4) px of each image.
        finest_scale_px: regions whose side is below twice this are pooled from the finest level.
        samples, aligned: see `align_regions`.
    """
    rois = torch.cat([torch.cat([b.new_full((len(b), 1), i), b], 1) for i, b in enumerate(boxes)])
    scale = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=1).sqrt()
    chosen = torch.floor(torch.log2(scale / finest_scale_px + 1e-6)).clamp(0, len(levels) - 1)
    pooled = levels[0].new_zeros((len(rois), levels[0].shape[1], BINS, BINS), dtype=torch.float32)
    for i, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        here = torch.nonzero(chosen == i).squeeze(1)
        pooled = pooled.index_put((here,), align_regions(level.float(), rois[here], BINS, 1 / stride, samples, aligned))
    return pooled


def align_regions(level: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool = True) -> Tensor:
    """(R, C, size, size) features of regions; the same values as torchvision's `roi_align`.

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

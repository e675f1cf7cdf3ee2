"""RoIAlign on all cores: torchvision's CPU kernel runs on one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torchvision.ops import roi_align

WORTH_SPLITTING = 20_000  # regions times channels; below that threads cost more than they save


def align_regions(level: Tensor, rois: Tensor, size: int, scale: float, samples: int) -> Tensor:
    """(R, C, size, size) features of regions; the same values as torchvision's `roi_align(aligned=True)`.

    Args:
        level: (B, C, H, W) features.
        rois: (R, 5) image index and xyxy in pixels of the input.
        scale: of the features to the input.
        samples: points per bin and axis; 0 adapts to the region.
    """
    threads = torch.get_num_threads()
    if rois.device.type != "cpu" or torch.is_grad_enabled() or len(rois) * level.shape[1] < WORTH_SPLITTING or threads == 1:
        return _align(level, rois, size, scale, samples)
    level = level.contiguous()  # once, not in every thread
    with ThreadPoolExecutor(threads) as pool:
        parts = [pool.submit(_align, level, chunk, size, scale, samples) for chunk in rois.chunk(threads)]
        return torch.cat([part.result() for part in parts])


def _align(level: Tensor, rois: Tensor, size: int, scale: float, samples: int) -> Tensor:
    pooled: Tensor = roi_align(level, rois, size, scale, samples, aligned=True)
    return pooled

"""What one-stage detectors share: picking candidates from dense maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from detectors.networks.architectures import Candidates
from parsing.networks.pieces import Piece, pixels

EXAMPLES_HW = (128, 160), (192, 224)  # multiples of every stride
MIN_SCORE = 1e-3  # of a (box, class) pair that may become a candidate


def images_in(method: str, channels: int) -> Piece:
    """A method of batches of images of any number and size."""
    one, other = ((batch, channels, *hw) for batch, hw in zip((1, 2), EXAMPLES_HW, strict=True))
    return Piece(method, pixels(one, other))


def dense_candidates(boxes: list[Tensor], scores: list[Tensor], most: int, sizes: list[tuple[int, int]]) -> Candidates:
    """The best (box, class) pairs of each level.

    Args:
        boxes: (B, N, 4) px of each level.
        scores: (B, N, C) of each level, in [0, 1].
        most: pairs kept of each level; scores of other pairs become 0.
        sizes: height and width of each image inside the padding, which boxes are clipped to.
    """
    results = []
    for image, size in enumerate(sizes):
        kept = [_best_pairs(level[image], score[image], most) for level, score in zip(boxes, scores, strict=True)]
        results.append((clip_boxes_to_image(torch.cat([b for b, _ in kept]), size), torch.cat([s for _, s in kept])))
    return results


def _best_pairs(boxes: Tensor, scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    num_classes = scores.shape[1]
    values, pairs = scores.flatten().topk(min(most, scores.numel()))
    pairs, values = pairs[values > MIN_SCORE], values[values > MIN_SCORE]
    rows, inverse = torch.unique(torch.div(pairs, num_classes, rounding_mode="floor"), return_inverse=True)
    kept = scores.new_zeros((len(rows), num_classes))
    kept[inverse, pairs % num_classes] = values
    return boxes[rows], kept

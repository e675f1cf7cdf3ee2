"""What detection networks are made of: typed, carried in the header of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from parsing.configs import config


@config
class DetectorArchitecture:
    """Fields that all detectors share.

    Args:
        class_names: C classes, background not counted.
        levels: feature levels of the backbone that feed the pyramid.
        input_px: longer side (whole images) or side (person crops) of the input.
        shorter_px: where set, the shorter side of whole images is at most this, as in the common (1333, 800) recipe.
        context: side of a person's crop over the longer side of its box; used by part detectors alone.
        heatmaps: number of keypoint heatmaps that follow the three colours in the input; 0 or 17.
    """

    class_names: tuple[str, ...]
    backbone: str = "resnet50"
    levels: tuple[int, ...] = (1, 2, 3, 4)
    fpn_channels: int = 256
    input_px: int = 1333
    shorter_px: int | None = None
    context: float = 1.2
    heatmaps: int = 0


@config
class CascadeArchitecture(DetectorArchitecture):
    """Cascade R-CNN.

    Args:
        anchor_sizes: sides in pixels of each level's anchors, one row more than `levels`.
        anchor_ratios: height / width of anchors.
        hidden: width of the box heads.
        finest_scale_px: RoIs whose side is below twice this are pooled from the finest level.
        proposals: boxes that the RPN hands to the heads at test time.
        rois: boxes per image that each head is trained on.
        roi_samples: sampling points per bin and axis of RoIAlign; 0 adapts to the size of the RoI.
    """

    anchor_sizes: tuple[tuple[float, ...], ...] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    hidden: int = 1024
    finest_scale_px: float = 56.0
    proposals: int = 1000
    rois: int = 512
    roi_samples: int = 0


@config
class RetinaNetArchitecture(DetectorArchitecture):
    """RetinaNet.

    Args:
        anchor_scale: side of a level's smallest anchor over its stride; three anchors an octave.
        anchor_ratios: height / width of anchors.
        convs: convolutions of each branch of the head.
        candidates: most (box, class) pairs of a level that are kept at test time.
    """

    levels: tuple[int, ...] = (2, 3, 4)
    anchor_scale: float = 4.0
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    convs: int = 4
    candidates: int = 1000


@config
class GFLArchitecture(DetectorArchitecture):
    """GFL.

    Args:
        anchor_scale: side of a level's one square anchor over its stride; anchors only choose what is trained.
        convs: convolutions of each branch of the head.
        bins: distances to a side of the box are distributions over 0 … `bins` strides.
        nearest: anchors of each level that are candidates for a ground-truth box (ATSS).
        candidates: most (box, class) pairs of a level that are kept at test time.
    """

    levels: tuple[int, ...] = (2, 3, 4)
    anchor_scale: float = 8.0
    convs: int = 4
    bins: int = 16
    nearest: int = 9
    candidates: int = 1000


@dataclass
class Targets:
    """Ground truth of one image: boxes (M, 4) px, labels (M,) from 1, and regions (K, 4) that no loss may judge."""

    boxes: Tensor
    labels: Tensor
    ignored: Tensor


Candidates = list[tuple[Tensor, Tensor]]  # per image: boxes (R, 4) px and class scores (R, C), before any suppression

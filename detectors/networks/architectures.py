"""What detection networks are made of: typed, carried in the header of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from parsing.configs import Count, Share, config
from parsing.types import Array
from parsing.vocabulary import check_pairs, flip_permutation, pairs_by_name

# Bounds keep a header of a few bytes from asking for gigabytes.
Name = Annotated[str, Field(min_length=1, max_length=200)]
Level = Annotated[int, Field(ge=0, le=9)]
Levels = Annotated[tuple[Level, ...], Field(min_length=1, max_length=10)]
Width = Annotated[int, Field(ge=1, le=1024)]
Side = Annotated[int, Field(ge=32, le=4096)]
Positive = Annotated[float, Field(gt=0, le=4096)]
Ratios = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=16)]


@config
class DetectorArchitecture:
    """Fields that all detectors share.

    Args:
        class_names: C classes, background not counted.
        pairs: left and right classes, which change places in a mirrored image; None pairs `left_x` with `right_x`.
        levels: feature levels of the backbone that feed the pyramid.
        input_px: longer side (whole images) or side (person crops) of the input.
        shorter_px: where set, the shorter side of whole images is at most this, as in the common (1333, 800) recipe.
        context: side of a person's crop over the longer side of its box; used by part detectors alone.
        heatmaps: number of keypoint heatmaps that follow the three colours in the input; 0 or 17.
    """

    class_names: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    backbone: str = "resnet50"
    levels: Levels = (1, 2, 3, 4)
    fpn_channels: Width = 256
    input_px: Side = 1333
    shorter_px: Side | None = None
    context: Annotated[float, Field(ge=0.1, le=10)] = 1.2
    heatmaps: Literal[0, 17] = 0
    pairs: Annotated[tuple[tuple[Name, Name], ...], Field(max_length=5_000)] | None = None

    def __post_init__(self) -> None:
        if any(after <= before for before, after in pairwise(self.levels)):
            raise ValueError(f"levels {self.levels}, expected rising ones")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError("class_names holds a name twice")
        if self.pairs is None:
            object.__setattr__(self, "pairs", pairs_by_name(self.class_names))
        check_pairs(self.pairs or (), self.class_names)

    @property
    def swap(self) -> Array:
        """(C,) the class that each class is in a mirrored image."""
        return flip_permutation(self.class_names, self.pairs)


@config
class TwoStageArchitecture(DetectorArchitecture):
    """Fields that detectors with proposals share.

    Args:
        anchor_sizes: sides in pixels of each level's anchors, one row more than `levels`.
        anchor_ratios: height / width of anchors.
        hidden: width of the box heads.
        finest_scale_px: RoIs whose side is below twice this are pooled from the finest level.
        proposals: most boxes that the RPN hands to the heads at test time.
        least_objectness: of these boxes, a probability; a picture of one person has few above 0.1, one of a crowd many.
        rois: boxes per image that each head is trained on.
    """

    anchor_sizes: Annotated[tuple[Ratios, ...], Field(max_length=11)] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))
    anchor_ratios: Ratios = (0.5, 1.0, 2.0)
    hidden: Annotated[int, Field(ge=1, le=4096)] = 1024
    finest_scale_px: Positive = 56.0
    proposals: Count = 1000
    least_objectness: Share = 0.0
    rois: Count = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.anchor_sizes) != len(self.levels) + 1 or len({len(row) for row in self.anchor_sizes}) != 1:
            raise ValueError(
                f"anchor_sizes has rows of {[len(row) for row in self.anchor_sizes]}, expected {len(self.levels) + 1} equal ones"
            )


@config
class CascadeArchitecture(TwoStageArchitecture):
    """Cascade R-CNN.

    Args:
        roi_samples: sampling points per bin and axis of RoIAlign; 0 adapts to the size of the RoI.
    """

    roi_samples: Annotated[int, Field(ge=0, le=16)] = 0


@config
class FasterRCNNArchitecture(TwoStageArchitecture):
    """Faster R-CNN as torchvision builds it.

    Args:
        version: 1, or 2 with norms in the pyramid, two convolutions in the RPN's head, and four with norms in the box head.
    """

    version: Literal[1, 2] = 1


@config
class RetinaNetArchitecture(DetectorArchitecture):
    """RetinaNet.

    Args:
        anchor_scale: side of a level's smallest anchor over its stride; three anchors an octave.
        anchor_ratios: height / width of anchors.
        convs: convolutions of each branch of the head.
        candidates: most (box, class) pairs of a level that are kept at test time.
        coarse: whether the two coarsest levels are made of the backbone's last one or of the pyramid's.
        head_norm: after each convolution of the head.
        rounded_anchors: as torchvision's own weights were trained with, see `Anchors`.
    """

    levels: Levels = (2, 3, 4)
    anchor_scale: Positive = 4.0
    anchor_ratios: Ratios = (0.5, 1.0, 2.0)
    convs: Annotated[int, Field(ge=1, le=16)] = 4
    coarse: Literal["on_input", "on_output"] = "on_input"
    head_norm: Literal["none", "group"] = "none"
    rounded_anchors: bool = False
    candidates: Count = 1000


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

    levels: Levels = (2, 3, 4)
    anchor_scale: Positive = 8.0
    convs: Annotated[int, Field(ge=1, le=16)] = 4
    bins: Annotated[int, Field(ge=1, le=256)] = 16
    nearest: Annotated[int, Field(ge=1, le=1000)] = 9
    candidates: Count = 1000


@dataclass
class Targets:
    """Ground truth of one image: boxes (M, 4) px, labels (M,) from 1, and regions (K, 4) that no loss counts."""

    boxes: Tensor
    labels: Tensor
    ignored: Tensor


Candidates = list[tuple[Tensor, Tensor]]  # per image: boxes (R, 4) px and class scores (R, C), before any suppression

"""Random views of labelled clips, for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from parsing.configs import Share, config
from parsing.errors import InputError
from parsing.learning.augmentation import jitter_colour
from parsing.types import Array
from recognizers.clips.flow import network_input
from recognizers.clips.frame_sampling import Sampling, Segments
from recognizers.clips.inputs import InputKind
from recognizers.clips.store import ClipStore
from recognizers.clips.test_views import limits, scale

Batch = tuple[Tensor, Tensor, Tensor]


@config
class ViewConfig:
    """Random views for training.

    Args:
        smallest_crop: of the random crops, over the short side.
        stretch: how much the sides of a crop may differ, to either side.
        corners: crops lie in a corner or in the middle, not anywhere (Wang et al., TSN, 2016).
        intervals: of dense clips, of which one is drawn for each clip; empty takes the network's.
        still: every clip is one frame that stands: the first stage of a training from scratch (VIPriors report).
        reverse: share of clips that are played backwards.
        flip: share of clips that are mirrored, with the labels that a mirror changes.
        colour: whether light, contrast, colour and sharpness change, the same for all frames of a clip.
        randaugment: how many of RandAugment's operations a clip goes through (Cubuk et al. 2020), `magnitude` of 31 strong.
    """

    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.7
    stretch: Annotated[float, Field(ge=1, le=2)] = 1.15
    corners: bool = False
    intervals: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = ()
    still: bool = False
    reverse: Share = 0.0
    flip: Share = 0.5
    colour: bool = True
    randaugment: Annotated[int, Field(ge=0, le=10)] = 0
    magnitude: Annotated[int, Field(ge=0, lt=31)] = 9


@dataclass(frozen=True, eq=False)
class Targets:
    """What N clips are taught.

    Args:
        labels: (N, A) 1 where an action holds.
        knowledge: (N, A) probabilities that a teacher gave, or (N, 0).
        mirror: (A,) for each action, the one that it looks like in a mirror.
    """

    labels: Array
    knowledge: Array
    mirror: Array


class ClipViews:
    """Random views: frames, one crop, flip and change of colour for the whole clip.

    Args:
        entries: (index of a clip in the store, whether it is mirrored for good) of each item.
        kind: what the network is fed with.
        crop: what testing looks at, of which training sees random parts.
    """

    def __init__(
        self,
        store: ClipStore,
        targets: Targets,
        sampling: Sampling,
        size: int,
        settings: ViewConfig,
        entries: Sequence[tuple[int, bool]] | None = None,
        kind: InputKind = "rgb",
        crop: Literal["squeeze", "whole"] = "squeeze",
    ) -> None:
        self.store, self.targets, self.sampling, self.size, self.settings = store, targets, sampling, size, settings
        self.kind: InputKind = kind
        self.crop: Literal["squeeze", "whole"] = crop
        self.entries = [(i, False) for i in range(len(store))] if entries is None else entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: tuple[int, ...]) -> tuple[Array, Array, Array] | None:
        """Clip (T, S, S, C), labels (A,) and knowledge of an item; None where its clip cannot be read.

        Args:
            key: index, seed and, where they are not the network's own, frames and size of the clip.
        """
        index, seed, *shape = key
        num_frames, size = shape or (self.sampling.clip_frames, self.size)
        clip, always_mirrored = self.entries[index]
        frames = self.store[clip]
        if frames is None:
            return None
        random = np.random.default_rng(seed)
        picked = frames[self._indices(len(frames), num_frames, random)]
        if random.random() < self.settings.reverse:
            picked = picked[::-1]
        mirrored = always_mirrored != (random.random() < self.settings.flip)
        labels, knowledge = self.targets.labels[clip], self.targets.knowledge[clip]
        if mirrored:
            labels, knowledge = labels[self.targets.mirror], knowledge[self.targets.mirror] if len(knowledge) else knowledge
        pixels = self._pixels(picked, size, mirrored, random)
        return network_input(pixels, self.kind, self.sampling.shortened(num_frames)), labels, knowledge

    def _pixels(self, frames: Array, size: int, mirrored: bool, random: np.random.Generator) -> Array:
        """(T, S, S, 3): one crop, scaled, with one change of colour."""
        top, left, height, width = self._crop(frames.shape[1], frames.shape[2], random)
        colour_seed = int(random.integers(2**31))
        views = []
        for image in frames[:, top : top + height, left : left + width]:
            view = scale(image, size)[:, ::-1] if mirrored else scale(image, size)
            # The same seed for every frame: the light of a scene does not flicker.
            views.append(jitter_colour(view, np.random.default_rng(colour_seed)) if self.settings.colour else view)
        return self._augmented(np.stack(views), colour_seed)

    def _augmented(self, frames: Array, seed: int) -> Array:
        """RandAugment over (T, S, S, 3), the same operations for every frame."""
        if not self.settings.randaugment:
            return frames
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(seed)
            augment = v2.RandAugment(self.settings.randaugment, self.settings.magnitude)
            changed = augment(tv_tensors.Video(torch.from_numpy(frames).permute(0, 3, 1, 2)))
        return np.asarray(changed.permute(0, 2, 3, 1).contiguous().numpy())

    def _indices(self, num_frames: int, wanted: int, random: np.random.Generator) -> Array:
        if self.settings.still:
            return np.full(wanted, random.integers(num_frames))
        sampling = self.sampling
        if isinstance(sampling, Segments):
            return sampling.shortened(wanted).at_random(num_frames, random, self.store.run(num_frames))
        if self.settings.intervals:
            sampling = replace(sampling, interval=int(random.choice(self.settings.intervals)))
        return sampling.shortened(wanted).at_random(num_frames, random)

    def _crop(self, height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
        """Top, left, height and width of a part of what testing looks at, its sides stretched a little against each other."""
        share, stretch = random.uniform(self.settings.smallest_crop, 1.0), self.settings.stretch
        most = limits(height, width, self.crop)
        crop_h, crop_w = (max(8, round(min(limit, limit * share * random.uniform(1 / stretch, stretch)))) for limit in most)
        crop_h, crop_w = min(crop_h, height), min(crop_w, width)
        if self.settings.corners:
            down, right = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)][random.integers(5)]
            return int(down * (height - crop_h)), int(right * (width - crop_w)), crop_h, crop_w
        return int(random.integers(0, height - crop_h + 1)), int(random.integers(0, width - crop_w + 1)), crop_h, crop_w


def collate(items: Sequence[tuple[Array, Array, Array] | None]) -> Batch:
    """(B, T, 3, H, W) uint8 clips, (B, A) labels, (B, A or 0) knowledge of the clips that could be read.

    Raises:
        InputError: none could.
    """
    read = [item for item in items if item is not None]
    if not read:
        raise InputError(f"training stopped: none of the {len(items)} clips of a batch can be read")
    clips, labels, knowledge = (torch.from_numpy(np.stack(column)) for column in zip(*read, strict=True))
    return clips.permute(0, 1, 4, 2, 3), labels, knowledge

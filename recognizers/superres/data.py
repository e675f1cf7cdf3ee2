"""Clips decoded once into memory, and pairs of small and large crops of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from parsing.configs import Count, Share, config
from parsing.datasets.clips import ClipFormat, ClipRecord, read_clip_records
from parsing.errors import InputError
from parsing.media.sources import open_source
from parsing.types import Array
from recognizers.clips.store import shrink
from recognizers.superres.degradation import SECOND_PASS, DegradationPass, degrade, downscale

log = logging.getLogger(__name__)


@config
class SuperResolutionDataConfig:
    """Clips under `root`, which are the large truth; the small input is made from them.

    Args:
        format, labels, classes: as in `parsing.datasets.clips.read_clip_records`; what the clips show is not used.
        short_side_px: that clips are shrunk to, which takes their own compression's artefacts away.
        most_frames: that are kept of each training clip, those in its middle.
        frames: of a training item.
        crop_px: side of the small crop of a training item.
        repeat: how often a clip is drawn in an epoch.
        real: share of training items with the real degradation; the others are shrunk by bicubic interpolation.
        degradation: passes of the real degradation.
        val_frames: of each validation clip, those in its middle.
        most_val_clips: spread over the list.
    """

    root: str
    format: ClipFormat = "csv"
    labels: str = "labels.csv"
    classes: str = "classes.txt"
    short_side_px: Annotated[int, Field(ge=16, le=4096)] = 128
    most_frames: Count = 24
    frames: Annotated[int, Field(ge=2, le=100_000)] = 7
    crop_px: Annotated[int, Field(ge=8, le=4096)] = 32
    repeat: Count = 1
    real: Share = 0.5
    degradation: tuple[DegradationPass, ...] = field(default=(DegradationPass(), SECOND_PASS))
    val_frames: Count = 7
    most_val_clips: Count = 40

    def clips(self, split: str, scale: int) -> list[Array]:
        """The clips of a split, `train` or `val`, as `cache_frames` gives them.

        Raises:
            InputError: there is none that is large enough.
        """
        records = [r for r in read_clip_records(self.format, Path(self.root), self.labels, self.classes) if r.split == split]
        if split == "train":
            clips = cache_frames([r for r in records if r.trainable], self.most_frames, self.short_side_px, self.crop_px * scale)
        else:
            spread = np.unique(np.linspace(0, len(records) - 1, min(len(records), self.most_val_clips)).round().astype(int))
            clips = cache_frames([records[i] for i in spread], self.val_frames, self.short_side_px, scale)
        if not clips:
            raise InputError(f"{Path(self.root) / self.labels}: no {split} clip of at least {self.crop_px * scale} px")
        return clips


def cache_frames(records: Sequence[ClipRecord], most_frames: int, short_side_px: int, least_px: int) -> list[Array]:
    """The middle of every clip, (N, H, W, 3) uint8 RGB, shrunk; clips that cannot be read or are too small are reported.

    Args:
        least_px: that either side must have.
    """
    cached = []
    for record in records:
        try:
            source = open_source(record.path)
            num_frames = source.num_frames
            kept = np.arange(min(num_frames, most_frames)) + max(0, num_frames - most_frames) // 2
            frames = source.at(kept)
        except InputError as error:
            log.warning("%s; left out", error)
            continue
        images = shrink(np.stack([frames[int(index)].image for index in kept]), short_side_px)
        if min(images.shape[1:3]) < least_px:
            log.warning("%s: %d x %d px, at least %d are needed; left out", record.path, *images.shape[2:0:-1], least_px)
            continue
        cached.append(images)
    if len(cached) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(cached), len(records))
    return cached


class TrainingPairs:
    """Random crops in time and space, mirrored, turned and played backwards, with their small, often bad, versions."""

    def __init__(self, clips: Sequence[Array], scale: int, settings: SuperResolutionDataConfig) -> None:
        self.clips, self.scale, self.settings = clips, scale, settings

    def __len__(self) -> int:
        return len(self.clips) * self.settings.repeat

    def __getitem__(self, key: tuple[int, int]) -> tuple[Array, Array]:
        index, seed = key
        random, s = np.random.default_rng(seed), self.settings
        large = self._crop(self.clips[index % len(self.clips)], random)
        size_hw = (s.crop_px, s.crop_px)
        if random.random() < s.real:
            return degrade(large, size_hw, s.degradation, random), large
        return downscale(large, size_hw), large

    def _crop(self, clip: Array, random: np.random.Generator) -> Array:
        side, length = self.settings.crop_px * self.scale, len(clip)
        first = int(random.integers(0, max(1, length - self.settings.frames + 1)))
        there_and_back = np.r_[np.arange(length), np.arange(length)[-2:0:-1]]  # a short clip goes on backwards
        indices = there_and_back[(first + np.arange(self.settings.frames)) % len(there_and_back)]
        top, left = (int(random.integers(0, size - side + 1)) for size in clip.shape[1:3])
        crop = clip[indices, top : top + side, left : left + side]
        for axis in range(3):
            if random.random() < 0.5:
                crop = np.flip(crop, axis)
        return np.ascontiguousarray(crop.swapaxes(1, 2) if random.random() < 0.5 else crop)


def collate(items: Sequence[tuple[Array, Array]]) -> tuple[Tensor, Tensor]:
    """(B, T, 3, h, w) small and (B, T, 3, H, W) large clips, uint8."""
    small, large = (torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3) for clips in zip(*items, strict=True))
    return small, large


def validation_pairs(clips: Sequence[Array], scale: int, settings: SuperResolutionDataConfig) -> list[dict[str, Array]]:
    """Of each clip the `truth`, and its small versions after the `clean` and the `real` degradation, always the same."""
    pairs = []
    for number, clip in enumerate(clips):
        height, width = (side // scale for side in clip.shape[1:3])
        truth = clip[:, : height * scale, : width * scale]
        real = degrade(truth, (height, width), settings.degradation, np.random.default_rng(number))
        pairs.append({"truth": truth, "clean": downscale(truth, (height, width)), "real": real})
    return pairs

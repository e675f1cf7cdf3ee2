"""Labelled clips decoded once into memory, and random views of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from parsing.augment import jitter_colour
from parsing.configs import config
from parsing.errors import InputError
from parsing.types import Array
from parsing.video import count_frames, read_nearest
from recognizers.lists import ClipRecord
from recognizers.sampling import Dense, Sampling
from recognizers.views import MOST_ASPECT

log = logging.getLogger(__name__)
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, eq=False)
class CachedClip:
    """Frames of a clip, (N, H, W, 3) uint8 RGB, and the id of its action."""

    frames: Array = field(repr=False)
    label_id: int


def cache_clips(
    records: Sequence[ClipRecord], action_names: Sequence[str], sampling: Sampling, most_frames: int, short_side_px: int
) -> list[CachedClip]:
    """Decode every clip once, shrunk; clips that cannot be read are reported and left out.

    Args:
        most_frames: of a longer clip those in the middle are kept for dense sampling, for segments snippets that are
            spread over it.
    """
    cached = []
    for record in records:
        try:
            wanted = kept_frames(count_frames(record.path), sampling, most_frames)
            frames = read_nearest(record.path, wanted)
        except InputError as error:
            log.warning("%s; left out", error)
            continue
        images = np.stack([_shrink(frames[int(index)].image, short_side_px) for index in wanted])
        cached.append(CachedClip(images, action_names.index(record.label)))
    if len(cached) < len(records):
        log.warning("%d of %d clips left out", len(records) - len(cached), len(records))
    return cached


def kept_frames(num_frames: int, sampling: Sampling, most_frames: int) -> Array:
    """Indices of the frames of a clip that are kept."""
    if num_frames <= most_frames:
        return np.arange(max(1, num_frames))
    if isinstance(sampling, Dense):
        return np.arange(most_frames) + (num_frames - most_frames) // 2
    reach = (sampling.snippet - 1) * sampling.step + 1  # what one snippet spans stays together
    starts = np.linspace(0, num_frames - reach, max(1, most_frames // reach)).round().astype(int)
    return np.minimum((starts[:, None] + np.arange(reach)).ravel(), num_frames - 1)


def _shrink(image: Array, short_side_px: int) -> Array:
    scale = short_side_px / min(image.shape[:2])
    if scale >= 1:
        return image
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


@config
class ViewConfig:
    """Random views for training.

    Args:
        smallest_crop: of the random crops, over the short side.
        stretch: how much the sides of a crop may differ, to either side.
        intervals: of dense clips, of which one is drawn for each clip; empty takes the network's.
        reverse: share of clips that are played backwards.
        flip: share of clips that are mirrored; turned off where an action's name has a side.
        colour: whether light, colour and sharpness change, the same for all frames of a clip.
        randaugment: how many of RandAugment's operations a clip goes through (Cubuk et al. 2020), `magnitude` of 31 strong.
    """

    smallest_crop: Annotated[float, Field(gt=0, le=1)] = 0.7
    stretch: Annotated[float, Field(ge=1, le=2)] = 1.15
    intervals: tuple[Annotated[int, Field(ge=1)], ...] = ()
    reverse: Share = 0.0
    flip: Share = 0.5
    colour: bool = True
    randaugment: Annotated[int, Field(ge=0)] = 0
    magnitude: Annotated[int, Field(ge=0, lt=31)] = 9


class ClipViews:
    """Random views: frames, one crop, flip and change of colour for the whole clip."""

    def __init__(self, clips: Sequence[CachedClip], sampling: Sampling, size: int, settings: ViewConfig) -> None:
        self.clips, self.sampling, self.size, self.settings = clips, sampling, size, settings

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Array, int]:
        index, seed = key
        clip, s = self.clips[index], self.settings
        random = np.random.default_rng(seed)
        picked = clip.frames[self._indices(len(clip.frames), random)]
        if random.random() < s.reverse:
            picked = picked[::-1]
        top, left, height, width = self._crop(picked.shape[1], picked.shape[2], random)
        mirrored, colour_seed = random.random() < s.flip, int(random.integers(2**31))
        views = []
        for image in picked[:, top : top + height, left : left + width]:
            view = cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA)
            view = view[:, ::-1] if mirrored else view
            # The same seed for every frame: the light of a scene does not flicker.
            views.append(jitter_colour(view, np.random.default_rng(colour_seed)) if s.colour else view)
        return self._augmented(np.stack(views), colour_seed), clip.label_id

    def _augmented(self, frames: Array, seed: int) -> Array:
        """RandAugment over (T, S, S, 3), the same operations for every frame."""
        if not self.settings.randaugment:
            return frames
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.manual_seed(seed)
            augment = v2.RandAugment(self.settings.randaugment, self.settings.magnitude)
            changed = augment(tv_tensors.Video(torch.from_numpy(frames).permute(0, 3, 1, 2)))
        return np.asarray(changed.permute(0, 2, 3, 1).contiguous().numpy())

    def _indices(self, num_frames: int, random: np.random.Generator) -> Array:
        if self.settings.intervals and isinstance(self.sampling, Dense):
            return replace(self.sampling, interval=int(random.choice(self.settings.intervals))).at_random(num_frames, random)
        return self.sampling.at_random(num_frames, random)

    def _crop(self, height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
        """Top, left, height and width of a part of what testing looks at, its sides stretched a little against each other."""
        share, stretch = random.uniform(self.settings.smallest_crop, 1.0), self.settings.stretch
        limits = min(height, width * MOST_ASPECT), min(width, height * MOST_ASPECT)
        crop_h, crop_w = (max(8, round(min(limit, limit * share * random.uniform(1 / stretch, stretch)))) for limit in limits)
        crop_h, crop_w = min(crop_h, height), min(crop_w, width)
        return int(random.integers(0, height - crop_h + 1)), int(random.integers(0, width - crop_w + 1)), crop_h, crop_w


def collate(items: Sequence[tuple[Array, int]]) -> tuple[Tensor, Tensor]:
    """(B, T, 3, H, W) uint8 clips and (B,) labels."""
    clips = np.stack([clip for clip, _ in items])
    return torch.from_numpy(clips).permute(0, 1, 4, 2, 3), torch.tensor([label for _, label in items])
